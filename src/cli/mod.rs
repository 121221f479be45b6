//! The command line: topics, records, groups, workers and the configuration, as `tidings` or in a binary of one's own.
//!
//! ```no_run
//! use tidings::Topic;
//! use tidings::cli::{self, App};
//!
//! #[derive(Topic)]
//! #[topic(kind = event, name = "users", partitions = 6)]
//! struct Users;
//!
//! # #[cfg(feature = "macros")]
//! fn main() -> std::process::ExitCode {
//!     cli::run(App::new("user-service").topic::<Users>())
//! }
//! # #[cfg(not(feature = "macros"))] fn main() {}
//! ```
//!
//! # Exit codes
//!
//! | code | meaning |
//! | --- | --- |
//! | 0 | done; also where the reader of the output went away, and where following or workers were ended with Ctrl-C |
//! | 1 | the broker refused it, `check` found something, or a worker ended by itself or left work unfinished |
//! | 2 | the command line, the configuration, a file or its content is wrong |
//! | 3 | there is no such topic, group, profile or worker |
//! | 4 | no broker answers, or none lets this client in |
//! | 130 | ended with Ctrl-C before it was done, a worker with a second one before its drain was over or with SIGTERM before it had started |

mod app;
mod args;
mod check;
mod config;
mod connect;
mod consume;
mod create;
mod create_all;
mod describe;
mod error;
mod format;
mod groups;
mod lines;
mod out;
mod produce;
mod progress;
mod records;
mod topics;
mod worker;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory, FromArgMatches};
use tokio::sync::watch;

pub use self::app::App;
use self::args::{Arguments, Command};
use self::connect::Session;
use self::error::{CliError, Exit};
use self::out::Out;

/// Runs the command that this process's arguments name.
pub fn run(app: App) -> ExitCode {
    run_from(app, std::env::args_os())
}

/// Runs the command that these arguments name; the first is the binary's own name.
pub fn run_from(
    app: App,
    arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> ExitCode {
    let command = Arguments::command().name(app.name.clone()).bin_name(app.name.clone());
    let arguments = match command.try_get_matches_from(arguments) {
        Ok(found) => Arguments::from_arg_matches(&found),
        Err(error) => Err(error),
    };
    let arguments = match arguments {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are not errors; where they cannot be written there is nobody to tell.
            let _ = error.print();
            return if error.use_stderr() { Exit::Input.into() } else { ExitCode::SUCCESS };
        }
    };
    if arguments.options.verbose {
        let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false);
        // A binary that has set its own keeps it.
        let _ = log.try_init();
    }
    let runtime =
        match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                return CliError::new(Exit::Refused, format!("no threads: {error}")).tell();
            }
        };
    let result = runtime.block_on(execute(Arc::new(app), arguments));
    // What blocks on a broker that is away is not waited for.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.tell(),
    }
}

async fn execute(app: Arc<App>, arguments: Arguments) -> Result<(), CliError> {
    let Arguments { options, command } = arguments;
    let mut out = Out::new(options.output);
    if let Command::Completions { shell } = command {
        return out.completions(shell, &mut Arguments::command(), &app.name);
    }
    let session = Session::new(app, options, listen());
    // `check` has said where it asked.
    let is_check = matches!(command, Command::Check);
    let result = dispatch(&session, command, &mut out).await;
    if is_check { result } else { result.map_err(|error| session.addressed(error)) }
}

async fn dispatch(session: &Session, command: Command, out: &mut Out) -> Result<(), CliError> {
    // These say themselves what an interruption leaves behind.
    match command {
        Command::Consume(wanted) => return consume::run(session, wanted, out).await,
        Command::Produce(wanted) => return produce::run(session, wanted, out).await,
        Command::Worker(wanted) => return worker::run(session, wanted, out).await,
        _ => {}
    }
    let work = async {
        match command {
            Command::Topics { internal } => topics::list(session, internal, out).await,
            Command::Topic { command: args::TopicCommand::Show { name } } => {
                topics::show(session, &name, out).await
            }
            Command::CreateTopic(wanted) => create::run(session, wanted, out).await,
            Command::CreateTopics(wanted) => create_all::run(session, wanted, out).await,
            Command::Groups { group: None } => groups::list(session, out).await,
            Command::Groups { group: Some(group) } => groups::show(session, &group, out).await,
            Command::Lag { group } => groups::lag(session, group.as_deref(), out).await,
            Command::Config => config::run(session, out),
            Command::Check => check::run(session, out).await,
            Command::Describe => describe::run(session, out),
            Command::Consume(_)
            | Command::Produce(_)
            | Command::Worker(_)
            | Command::Completions { .. } => Ok(()),
        }
    };
    tokio::select! {
        biased;
        result = work => result,
        () = session.interrupted() => Err(CliError::interrupted()),
    }
}

/// Counts each Ctrl-C from now on: one that comes while nobody waits for it is not lost.
fn listen() -> watch::Receiver<u32> {
    let (tell, told) = watch::channel(0);
    #[cfg(unix)]
    let signal = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt());
    #[cfg(not(unix))]
    let signal = tokio::signal::windows::ctrl_c();
    tokio::spawn(async move {
        // Where the process cannot hear it, it is ended by it.
        if let Ok(mut signal) = signal {
            while signal.recv().await.is_some() {
                tell.send_modify(|heard| *heard += 1);
            }
        }
        std::future::pending::<()>().await;
    });
    told
}
