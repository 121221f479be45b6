//! Why a view does not start, and why one stops.

use crate::error::{ErrorClass, debug_as_told};
use crate::event::TopicName;
use crate::topic::TopicKind;
use crate::transport::{TopicPartition, TopicsError, TransportError};

debug_as_told!(StateStartError);

/// Why a view did not start.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum StateStartError {
    /// The topic is missing or not as it is declared, or could not be looked at.
    #[error(transparent)]
    Topics(#[from] TopicsError),
    /// The topic is declared as one of another kind.
    #[error("topic {topic} is declared as {kind} topic; a view is of a topic of kind `state`")]
    NotState {
        /// The topic.
        topic: TopicName,
        /// What it is declared as.
        kind: TopicKind,
    },
    /// The topic is not there.
    #[error("topic {topic} is not there; create it, or start with `TopicSetup::Create`")]
    Missing {
        /// The topic.
        topic: TopicName,
    },
    /// The broker stays away or refuses, or the client cannot read.
    #[error("topic {topic} cannot be read")]
    Transport {
        /// The topic.
        topic: TopicName,
        /// Why.
        source: TransportError,
    },
}

impl StateStartError {
    /// Whether the same start may succeed later.
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Topics(error) => error.is_retriable(),
            Self::Transport { source, .. } => source.class == ErrorClass::Retriable,
            Self::NotState { .. } | Self::Missing { .. } => false,
        }
    }
}

/// Why a view has stopped. It answers what it held then, and is not ready.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StateStopped {
    /// What the topic holds would take more memory than is allowed.
    #[error(
        "the view of {topic} holds {keys} keys and would take more than {limit} bytes with the next; \
         raise `max_memory`, or give the topic fewer or smaller values"
    )]
    TooMuchMemory {
        /// The topic.
        topic: TopicName,
        /// The most that it may take, in bytes.
        limit: usize,
        /// The keys that it holds.
        keys: usize,
    },
    /// A value could not be read, and [`Unreadable::Stop`](super::Unreadable::Stop) is set.
    #[error("the view of a state topic stops at {partition}, offset {offset}: {reason}")]
    Unreadable {
        /// Where the record lies.
        partition: TopicPartition,
        /// Its offset.
        offset: i64,
        /// Why it cannot be read.
        reason: String,
    },
    /// The client cannot go on.
    #[error("the view of {topic} cannot be read any further: {reason}")]
    Client {
        /// The topic.
        topic: TopicName,
        /// What it said.
        reason: String,
    },
    /// The task that reads has ended, with a panic or with its runtime.
    #[error("the task that reads the view of {topic} has ended")]
    Ended {
        /// The topic.
        topic: TopicName,
    },
}
