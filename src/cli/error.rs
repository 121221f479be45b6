//! What a command ends with when it fails: one line that says what to do, and an exit code.

use std::io::Write as _;
use std::process::ExitCode;

use crate::error::{ErrorClass, chain};
use crate::transport::{TopicsError, TransportError};

/// Why a command failed; the table is in the module's documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    Refused = 1,
    Input = 2,
    Unknown = 3,
    NoBroker = 4,
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A command's end.
#[derive(Debug)]
pub(super) struct CliError {
    pub(super) exit: Exit,
    pub(super) text: String,
    /// The reader of the output went away, which is no error.
    quiet: bool,
}

impl CliError {
    pub(super) fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self { exit, text: text.into(), quiet: false }
    }

    pub(super) fn input(text: impl Into<String>) -> Self {
        Self::new(Exit::Input, text)
    }

    pub(super) fn unknown(text: impl Into<String>) -> Self {
        Self::new(Exit::Unknown, text)
    }

    pub(super) fn interrupted() -> Self {
        Self::new(Exit::Interrupted, "interrupted")
    }

    /// Ended before what had begun was done.
    pub(super) fn interrupted_at_work() -> Self {
        Self::new(Exit::Interrupted, "interrupted; what is unfinished will be read again")
    }

    /// Says it on standard error, and answers the exit code.
    pub(super) fn tell(self) -> ExitCode {
        if self.quiet {
            return ExitCode::SUCCESS;
        }
        // Where standard error is gone too there is nobody to tell.
        let _ = writeln!(std::io::stderr(), "error: {}", self.text);
        self.exit.into()
    }
}

/// Whether nobody answered, or the client was not let in.
fn is_no_broker(error: &TransportError) -> bool {
    let says = |text: &str| error.what.contains(text);
    error.class == ErrorClass::Retriable || says("does not let this client in")
}

impl From<TransportError> for CliError {
    fn from(error: TransportError) -> Self {
        let exit = if is_no_broker(&error) { Exit::NoBroker } else { Exit::Refused };
        Self::new(exit, chain(&error))
    }
}

impl From<TopicsError> for CliError {
    fn from(error: TopicsError) -> Self {
        match error {
            TopicsError::Transport(error) => error.into(),
            TopicsError::Declared { .. } => Self::input(error.to_string()),
            _ => Self::new(Exit::Refused, error.to_string()),
        }
    }
}

/// Standard output: a pipe whose reader is gone ends the command quietly.
impl From<std::io::Error> for CliError {
    fn from(error: std::io::Error) -> Self {
        let quiet = error.kind() == std::io::ErrorKind::BrokenPipe;
        Self { quiet, ..Self::new(Exit::Refused, format!("the output cannot be written: {error}")) }
    }
}
