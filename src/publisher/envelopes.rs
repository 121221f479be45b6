//! From envelopes to records.

use bytes::Bytes;

use crate::codec::cloudevents::{self, ContentMode, Malformed};
use crate::codec::{AnyIntegrationEvent, EnvelopeError, Format};
use crate::event::{Encoded, Envelope, IntegrationEvent};
use crate::transport::Record;

pub(super) fn encode<E: IntegrationEvent>(
    envelope: Envelope<E>,
    format: Format,
) -> Result<Envelope, EnvelopeError> {
    let event = AnyIntegrationEvent::encode(&envelope.event, format)
        .map_err(|source| EnvelopeError::Encode { event: E::NAME, source })?;
    Ok(Envelope { metadata: envelope.metadata, topic: envelope.topic, key: envelope.key, event })
}

pub(super) fn record(envelope: &Envelope, mode: ContentMode) -> Result<Record, Malformed> {
    let Encoded { content_type, payload } = &envelope.event;
    let (headers, payload) =
        cloudevents::write(mode, &envelope.metadata, content_type, payload.clone())?;
    Ok(Record {
        topic: envelope.topic.clone(),
        partition: None,
        key: envelope.key.as_ref().map(|key| Bytes::copy_from_slice(key.as_str().as_bytes())),
        payload: Some(payload),
        headers,
        timestamp: Some(envelope.metadata.time.timestamp_millis()),
    })
}
