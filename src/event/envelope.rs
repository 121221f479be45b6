//! An integration event with its metadata.

use bytes::Bytes;

use super::{IntegrationEvent, InvalidKey, Metadata, PartitionKey, Source, TopicName};

/// An integration event on its way: what happened, and all that is said about it.
///
/// `Envelope<E>` holds the typed event; a plain `Envelope` holds it [`Encoded`], ready for a transport.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope<E = Encoded> {
    /// What is said about the event.
    pub metadata: Metadata,
    /// Where it goes.
    pub topic: TopicName,
    /// What keeps it in order.
    pub key: Option<PartitionKey>,
    /// The event itself.
    pub event: E,
}

/// A payload and the name of its format.
#[derive(Clone, PartialEq, Eq)]
pub struct Encoded {
    /// The media type (`content-type`).
    pub content_type: &'static str,
    /// The bytes.
    pub payload: Bytes,
}

impl std::fmt::Debug for Encoded {
    /// The size only: payloads hold people's data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes of {}", self.payload.len(), self.content_type)
    }
}

impl<E: IntegrationEvent> Envelope<E> {
    /// Wraps a new event: a new id, now, and the correlation and causation of the current
    /// [`Flow`](super::Flow).
    ///
    /// # Errors
    /// When the event's key is not one.
    pub fn new(event: E, source: Source) -> Result<Self, InvalidKey> {
        Ok(Self {
            metadata: Metadata::of(&event, source),
            topic: event.topic(),
            key: event.partition_key()?,
            event,
        })
    }
}
