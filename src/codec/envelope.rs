//! From an integration event of any type to its envelope.

use super::{AnyIntegrationEvent, EncodeError, Format};
use crate::event::{Envelope, Flow, InvalidKey, Metadata, Source};

/// Wraps an event as the consequence of `flow`: a new id, now, its topic, key and payload.
///
/// # Errors
/// When its key is not one, or it cannot be said in that format.
pub fn envelope(
    event: &dyn AnyIntegrationEvent,
    source: &Source,
    format: Format,
    flow: &Flow,
) -> Result<Envelope, EnvelopeError> {
    let name = event.name();
    let mut metadata = Metadata::named(name, event.version(), source.clone(), flow);
    metadata.subject = event.subject();
    Ok(Envelope {
        metadata,
        topic: event.topic(),
        key: event.partition_key().map_err(|source| EnvelopeError::Key { event: name, source })?,
        event: event
            .encode(format)
            .map_err(|source| EnvelopeError::Encode { event: name, source })?,
    })
}

/// Why an event has no envelope. No retry helps.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// Its key is not one.
    #[error("{event} has no usable partition key")]
    Key {
        /// The event's name.
        event: &'static str,
        /// Why.
        source: InvalidKey,
    },
    /// Its payload cannot be made.
    #[error("{event} cannot be encoded")]
    Encode {
        /// The event's name.
        event: &'static str,
        /// Why.
        source: EncodeError,
    },
}
