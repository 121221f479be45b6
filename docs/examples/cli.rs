//! The command line in a binary of one's own.

// ANCHOR: embedded
use std::ffi::OsString;
use std::process::ExitCode;

use tidings::cli::{self, App};

use super::topics::Accounts;

fn app() -> App {
    App::new("accounts").topic::<Accounts>()
}

/// `accounts check`, `accounts create-topics`, `accounts lag`, …
pub fn main() -> ExitCode {
    cli::run(app())
}

/// With arguments of one's own, say those behind a subcommand; the first is the binary's name.
pub fn commands(arguments: Vec<OsString>) -> ExitCode {
    cli::run_from(app(), arguments)
}
// ANCHOR_END: embedded

#[test]
fn a_binary_of_ones_own_has_the_same_commands() {
    let run = |arguments: &[&str]| commands(arguments.iter().map(OsString::from).collect());
    assert_eq!(run(&["accounts", "completions", "bash"]), ExitCode::SUCCESS);
    assert_eq!(run(&["accounts", "no-such-command"]), ExitCode::from(2));
}
