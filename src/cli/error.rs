//! What a command ends with when it fails: one line that says what to do, and an exit code.

use std::io::Write as _;
use std::process::ExitCode;

use crate::error::chain;
use crate::transport::kafka::is_silence;
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

/// Whether somebody answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answered {
    Yes,
    /// Nobody did, in the time that each question has.
    NotInTime,
    /// Nobody did, for as long as the text says.
    NotAsTold,
}

/// A command's end.
#[derive(Debug)]
pub(super) struct CliError {
    pub(super) exit: Exit,
    pub(super) text: String,
    pub(super) answered: Answered,
    /// The reader of the output went away, which is no error.
    quiet: bool,
}

impl CliError {
    pub(super) fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self { exit, text: text.into(), answered: Answered::Yes, quiet: false }
    }

    /// The same end in other words.
    pub(super) fn told(self, text: impl Into<String>) -> Self {
        Self { text: text.into(), ..self }
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

    /// The same, where the text says how long nobody answered.
    pub(super) fn with_its_time(self) -> Self {
        let answered = match self.answered {
            Answered::Yes => Answered::Yes,
            Answered::NotInTime | Answered::NotAsTold => Answered::NotAsTold,
        };
        Self { answered, ..self }
    }

    /// Nobody answered, for as long as the text says.
    pub(super) fn unanswered(text: impl Into<String>) -> Self {
        Self { answered: Answered::NotAsTold, ..Self::new(Exit::NoBroker, text) }
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

/// Whether a text says that brokers answer, and turn this client away.
pub(super) fn is_turned_away(text: &str) -> bool {
    text.contains("does not let this client in")
}

impl From<TransportError> for CliError {
    fn from(error: TransportError) -> Self {
        let text = chain(&error);
        let (exit, answered) = if is_turned_away(&text) {
            (Exit::NoBroker, Answered::Yes)
        } else if is_silence(&error) {
            (Exit::NoBroker, Answered::NotInTime)
        } else {
            (Exit::Refused, Answered::Yes)
        };
        Self { answered, ..Self::new(exit, text) }
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
