//! What all errors of the crate share.

mod table;

use std::fmt;

pub(crate) use table::aligned;

/// Any error, boxed: what third parties' errors become at our border.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// What can be done about an error of a transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The same call may succeed later: the broker is away, a leader moves, a queue is full.
    Retriable,
    /// The same call fails each time: too large, not authorised, no such topic.
    Permanent,
    /// The client itself is done for and must be built anew.
    Fatal,
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Retriable => "retriable",
            Self::Permanent => "permanent",
            Self::Fatal => "fatal",
        })
    }
}

/// `Debug` that says what `Display` does, and its causes: so a `main` that returns the error gives its advice.
macro_rules! debug_as_told {
    ($error:ty) => {
        impl std::fmt::Debug for $error {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&$crate::error::chain(self))
            }
        }
    };
}
pub(crate) use debug_as_told;

/// One line of at most `most` bytes: what is kept of an error on a record must not grow with it, nor forge lines in a
/// log.
pub(crate) fn one_line(message: &str, most: usize) -> String {
    let mut text = String::with_capacity(message.len().min(most));
    for c in message.chars() {
        let c = if c.is_control() { ' ' } else { c };
        if text.len() + c.len_utf8() > most {
            break;
        }
        text.push(c);
    }
    text
}

/// An error and its causes on one line, for logs and headers.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.ends_with(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_text_is_one_line_of_bounded_length() {
        assert_eq!(one_line("a\r\nINFO forged", 1024), "a  INFO forged");
        let long = one_line(&"ü".repeat(1000), 1024);
        assert_eq!(long.len(), 1024);
        assert!(long.chars().all(|c| c == 'ü'));
    }
}
