//! What a consumer does with an event type that it has no handler for.

use std::fmt;
use std::str::FromStr;

/// What a consumer does with an event type that it has no handler for. Default: dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum UnknownType {
    /// Pass it over, and commit past it.
    Ignore,
    /// Put it on the dead-letter topic, where it can be seen and sent back once there is a handler.
    #[default]
    DeadLetter,
    /// Stop at it.
    Fail,
}

impl fmt::Display for UnknownType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ignore => "ignore",
            Self::DeadLetter => "dead_letter",
            Self::Fail => "fail",
        })
    }
}

impl FromStr for UnknownType {
    type Err = InvalidUnknownType;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "ignore" => Ok(Self::Ignore),
            "dead_letter" => Ok(Self::DeadLetter),
            "fail" => Ok(Self::Fail),
            _ => Err(InvalidUnknownType { text: text.chars().take(64).collect() }),
        }
    }
}

/// A text that names no [`UnknownType`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is none of `ignore`, `dead_letter` and `fail`")]
pub struct InvalidUnknownType {
    text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_choice_survives_being_written_and_read() {
        for choice in [UnknownType::Ignore, UnknownType::DeadLetter, UnknownType::Fail] {
            assert_eq!(choice.to_string().parse(), Ok(choice));
        }
        assert!("drop".parse::<UnknownType>().unwrap_err().to_string().contains("dead_letter"));
    }
}
