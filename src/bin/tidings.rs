//! The command line `tidings`; all of it is in `tidings::cli`.

use std::process::ExitCode;

use tidings::cli::{self, App};

fn main() -> ExitCode {
    cli::run(App::new("tidings"))
}
