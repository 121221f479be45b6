//! What can go wrong on the way to the broker.

use crate::codec::EnvelopeError;
use crate::codec::cloudevents::Malformed;
use crate::error::ErrorClass;
use crate::event::{Envelope, EventId};
use crate::transport::ProduceError;

/// An event was not published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// It has no usable key, or its payload cannot be made.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// Payload and content mode do not go together.
    #[error("the event cannot be laid on a record")]
    Wire(#[from] Malformed),
    /// The transport did not acknowledge it.
    #[error("event {id} was not acknowledged")]
    NotAcknowledged {
        /// Which one.
        id: EventId,
        /// Why.
        source: ProduceError,
    },
}

impl PublishError {
    /// What can be done about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::NotAcknowledged { source, .. } => source.class(),
            _ => ErrorClass::Permanent,
        }
    }

    /// Whether it is the event that is at fault: it can never be published, whatever becomes of the broker, the client
    /// and the topic's rights.
    pub(crate) fn is_of_the_event(&self) -> bool {
        match self {
            Self::NotAcknowledged { source, .. } => source.is_of_the_record(),
            _ => true,
        }
    }

    /// Whether the event may have been stored all the same.
    pub fn is_indefinite(&self) -> bool {
        matches!(self, Self::NotAcknowledged { source: ProduceError::NoAnswer { .. }, .. })
    }
}

/// Some of a batch were not published.
#[derive(Debug, thiserror::Error)]
#[error("{} events of the batch were not published", unpublished.len().max(1))]
pub struct BatchFailure {
    /// Those that were not acknowledged, in order: publish them again, or keep them. Empty where
    /// the batch failed before anything was sent.
    pub unpublished: Vec<Envelope>,
    /// Why the first of them was not.
    pub source: PublishError,
}

impl BatchFailure {
    pub(super) fn before_sending(source: PublishError) -> Self {
        Self { unpublished: Vec::new(), source }
    }

    /// What can be done about it.
    pub fn class(&self) -> ErrorClass {
        self.source.class()
    }
}
