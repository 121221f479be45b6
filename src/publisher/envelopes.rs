//! From events to envelopes to records.

use bytes::Bytes;

use super::PublishError;
use crate::codec::cloudevents::{self, ContentMode, Malformed};
use crate::codec::{AnyIntegrationEvent, Format};
use crate::event::{Encoded, Envelope, Flow, IntegrationEvent, Metadata, Source};
use crate::transport::Record;

pub(super) fn encode<E: IntegrationEvent>(
    envelope: Envelope<E>,
    format: Format,
) -> Result<Envelope, PublishError> {
    let event = AnyIntegrationEvent::encode(&envelope.event, format)?;
    Ok(Envelope { metadata: envelope.metadata, topic: envelope.topic, key: envelope.key, event })
}

/// Wraps any integration event as the consequence of `flow`.
pub(crate) fn of(
    event: &dyn AnyIntegrationEvent,
    source: Source,
    flow: &Flow,
    format: Format,
) -> Result<Envelope, PublishError> {
    let mut metadata = Metadata::named(event.name(), event.version(), source, flow);
    metadata.subject = event.subject();
    Ok(Envelope {
        metadata,
        topic: event.topic(),
        key: event.partition_key()?,
        event: event.encode(format)?,
    })
}

pub(super) fn record(envelope: &Envelope, mode: ContentMode) -> Result<Record, Malformed> {
    let Encoded { content_type, payload } = &envelope.event;
    let (headers, payload) =
        cloudevents::write(mode, &envelope.metadata, content_type, payload.clone())?;
    Ok(Record {
        topic: envelope.topic.clone(),
        partition: None,
        key: envelope.key.clone().map(|key| Bytes::from(key.into_string())),
        payload: Some(payload),
        headers,
        timestamp: Some(envelope.metadata.time.timestamp_millis()),
    })
}
