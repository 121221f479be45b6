//! From envelopes to records.

use bytes::Bytes;

use super::outgoing::{Letter, Outgoing};
use crate::codec::cloudevents::{self, ContentMode, Malformed};
use crate::codec::{AnyIntegrationEvent, EnvelopeError, Format};
use crate::event::{Envelope, IntegrationEvent};
use crate::transport::Record;

pub(super) fn encode<E: IntegrationEvent>(
    envelope: Envelope<E>,
    format: Format,
) -> Result<Envelope, EnvelopeError> {
    let event = AnyIntegrationEvent::encode(&envelope.event, format)
        .map_err(|source| EnvelopeError::Encode { event: E::NAME, source })?;
    Ok(Envelope { metadata: envelope.metadata, topic: envelope.topic, key: envelope.key, event })
}

pub(crate) fn record(envelope: &Envelope, mode: ContentMode) -> Result<Record, Malformed> {
    let letter = Letter::from(envelope);
    let document = letter.document(mode)?;
    let mut record = letter.blank();
    letter.lay_on(&mut record, document, mode);
    Ok(record)
}

/// Documents that stand in for the payloads; none where the payloads themselves do.
pub(super) fn documents(
    events: &mut impl Outgoing,
    mode: ContentMode,
) -> Result<Vec<Bytes>, Malformed> {
    let mut documents = Vec::new();
    for index in 0..events.len() {
        match events.at(index).document(mode)? {
            Some(document) => documents.push(document),
            None => break,
        }
    }
    Ok(documents)
}

impl Letter<'_> {
    fn document(&self, mode: ContentMode) -> Result<Option<Bytes>, Malformed> {
        cloudevents::document(mode, self.metadata, self.content_type, &self.payload)
    }

    /// A record with nothing on it, for where this one goes.
    pub(super) fn blank(&self) -> Record {
        Record {
            topic: self.topic.clone(),
            partition: None,
            key: None,
            payload: None,
            headers: Default::default(),
            timestamp: None,
        }
    }

    /// Lays the event on a record, instead of what was on it; `document` stands in for its payload.
    pub(super) fn lay_on(self, record: &mut Record, document: Option<Bytes>, mode: ContentMode) {
        cloudevents::write_headers(mode, self.metadata, self.content_type, &mut record.headers);
        record.topic.clone_from(self.topic);
        record.key = self.key;
        record.payload = Some(document.unwrap_or(self.payload));
        record.timestamp = Some(self.metadata.time.timestamp_millis());
    }
}
