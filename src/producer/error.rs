//! What can go wrong with a plain message.

use super::{AttemptError, InvalidMessage, Message, MessageId};
use crate::error::ErrorClass;
use crate::transport::Delivered;

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
    /// It was not acknowledged.
    #[error("message {id} was not acknowledged, attempts: {attempts}")]
    NotAcknowledged {
        /// Which one.
        id: MessageId,
        /// How often it was tried; 0 where it found no room, or an open breaker refused it.
        attempts: u32,
        /// Where it lies among the dead letters, if it does.
        dead_letter: Option<Delivered>,
        /// Whether one of its attempts may have been stored all the same.
        indefinite: bool,
        /// Why the last attempt failed.
        source: AttemptError,
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

    /// Whether it is the message that is at fault: it can never be sent, whatever becomes of the broker, the client and
    /// the topic's rights.
    pub(crate) fn is_of_the_message(&self) -> bool {
        match self {
            Self::NotAcknowledged { source: AttemptError::NotAcknowledged(error), .. } => {
                error.is_of_the_record()
            }
            Self::NotAcknowledged { .. } => false,
            Self::Invalid { .. } => true,
        }
    }

    /// Whether the message may have been stored all the same: by its last attempt or by one before. What a layer gave
    /// up may have been sent before, and so may what was on its way when the producer was closed.
    pub fn is_indefinite(&self) -> bool {
        matches!(self, Self::NotAcknowledged { indefinite: true, .. })
    }

    /// Whether an open breaker refused it before it was tried.
    pub fn is_refused(&self) -> bool {
        matches!(
            self,
            Self::NotAcknowledged { attempts: 0, source: AttemptError::BreakerOpen(_), .. }
        )
    }
}

/// Some of a batch were not sent.
#[derive(Debug, thiserror::Error)]
#[error("{} messages of the batch were not sent", unsent.len())]
pub struct UnsentMessages {
    /// Those that were not acknowledged, in order, dead letters among them: send them again, they keep their ids.
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
