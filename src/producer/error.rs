//! What can go wrong with a plain message.

use super::{InvalidMessage, Message, MessageId};
use crate::error::ErrorClass;
use crate::transport::ProduceError;

/// A message was not sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// It cannot be sent as it is.
    #[error("message {id} cannot be sent as it is")]
    Invalid {
        /// Which one.
        id: MessageId,
        /// What is wrong with it.
        source: InvalidMessage,
    },
    /// The transport did not acknowledge it.
    #[error("message {id} was not acknowledged")]
    NotAcknowledged {
        /// Which one.
        id: MessageId,
        /// Why.
        source: ProduceError,
    },
}

impl SendError {
    /// Which message it is about.
    pub fn id(&self) -> &MessageId {
        match self {
            Self::Invalid { id, .. } | Self::NotAcknowledged { id, .. } => id,
        }
    }

    /// What can be done about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::NotAcknowledged { source, .. } => source.class(),
            Self::Invalid { .. } => ErrorClass::Permanent,
        }
    }

    /// Whether the message may have been stored all the same.
    pub fn is_indefinite(&self) -> bool {
        matches!(self, Self::NotAcknowledged { source: ProduceError::NoAnswer { .. }, .. })
    }
}

/// Some of a batch were not sent.
#[derive(Debug, thiserror::Error)]
#[error("{} messages of the batch were not sent", unsent.len())]
pub struct UnsentMessages {
    /// Those that were not acknowledged, in order: send them again, they keep their ids.
    pub unsent: Vec<Message>,
    /// Why the first of them was not.
    pub source: SendError,
}

impl UnsentMessages {
    /// What can be done about it.
    pub fn class(&self) -> ErrorClass {
        self.source.class()
    }
}
