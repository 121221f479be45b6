//! CloudEvents 1.0 on a record: the Kafka binding's binary mode, structured mode, and plain payloads.
//!
//! Source: <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md>.

use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, TimeZone, Utc};

use super::Format;
use crate::clock::Millis;
use crate::event::{
    EventId, Headers, Metadata, Source, Subject, Tenant, TraceContext, header, shared,
};

#[cfg(feature = "json")]
mod structured;

/// The media type of structured mode.
const STRUCTURED: &str = "application/cloudevents+json";

/// How an envelope is laid on a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ContentMode {
    /// The payload is the record's value, everything else is in headers.
    #[default]
    Binary,
    /// The value is one JSON document with everything in it; one header. Feature `json`.
    #[cfg(feature = "json")]
    Structured,
}

/// What a record says about the event in it.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// What is said about the event. Of a plain payload: what can be known from where it lies.
    pub metadata: Metadata,
    /// The event's bytes; `None` is a tombstone.
    pub payload: Option<Bytes>,
    /// The payload's format; `None` where it names one that is not known here.
    pub format: Option<Format>,
    /// No CloudEvents attributes: the type is for the reader to know.
    pub plain: bool,
}

/// Where a record lies: what stands in for attributes that it does not have.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Its topic.
    pub topic: &'a str,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its timestamp.
    pub timestamp: Option<Millis>,
}

/// A record whose attributes cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(String);

impl Malformed {
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

/// Lays metadata on headers and payload.
///
/// # Errors
/// In structured mode, when the payload is not JSON.
pub fn write(
    mode: ContentMode,
    metadata: &Metadata,
    content_type: &str,
    payload: Bytes,
) -> Result<(Headers, Bytes), Malformed> {
    let mut headers = Headers::default();
    write_headers(mode, metadata, content_type, &mut headers);
    let document = document(mode, metadata, content_type, &payload)?;
    Ok((headers, document.unwrap_or(payload)))
}

/// What is the record's value instead of the payload; `None` where the payload itself is.
///
/// # Errors
/// In structured mode, when the payload is not JSON.
pub(crate) fn document(
    mode: ContentMode,
    metadata: &Metadata,
    content_type: &str,
    payload: &[u8],
) -> Result<Option<Bytes>, Malformed> {
    let _ = (metadata, content_type, payload);
    match mode {
        ContentMode::Binary => Ok(None),
        #[cfg(feature = "json")]
        ContentMode::Structured => structured::write(metadata, content_type, payload).map(Some),
    }
}

/// Lays metadata on headers, instead of what they held.
pub(crate) fn write_headers(
    mode: ContentMode,
    metadata: &Metadata,
    content_type: &str,
    headers: &mut Headers,
) {
    headers.clear();
    match mode {
        ContentMode::Binary => write_binary(metadata, content_type, headers),
        #[cfg(feature = "json")]
        ContentMode::Structured => headers.push(header::CONTENT_TYPE, STRUCTURED),
    }
}

/// A header costs CPU at both ends: none is written that says a default.
fn write_binary(metadata: &Metadata, content_type: &str, headers: &mut Headers) {
    headers.reserve(12, 384);
    headers.push(header::SPEC_VERSION, "1.0");
    metadata.id.with_str(|id| headers.push(header::ID, id));
    headers.push(header::SOURCE, metadata.source.as_str());
    headers.push(header::TYPE, &*metadata.event_type);
    headers.push(header::CONTENT_TYPE, content_type);
    if !metadata.time.timestamp_subsec_nanos().is_multiple_of(1_000_000) {
        headers.push(header::TIME, time_text(metadata.time));
    }
    if metadata.version != 1 {
        headers.push(header::EVENT_VERSION, metadata.version.to_string());
    }
    if metadata.correlation_id != metadata.id {
        metadata.correlation_id.with_str(|id| headers.push(header::CORRELATION_ID, id));
    }
    if let Some(id) = &metadata.causation_id {
        id.with_str(|id| headers.push(header::CAUSATION_ID, id));
    }
    if let Some(subject) = &metadata.subject {
        headers.push(header::SUBJECT, subject.as_str());
    }
    if let Some(tenant) = &metadata.tenant {
        headers.push(header::TENANT_ID, tenant.as_str());
    }
    if let Some(schema) = &metadata.data_schema {
        headers.push(header::DATA_SCHEMA, &**schema);
    }
    if let Some(trace) = &metadata.trace {
        headers.push(header::TRACEPARENT, trace.traceparent());
        if let Some(state) = trace.tracestate() {
            headers.push(header::TRACESTATE, state);
        }
    }
}

pub(crate) fn time_text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// Reads what a record says. Of a header that is repeated the last one counts.
///
/// # Errors
/// When an attribute is there and cannot be what it must be. A trace context that cannot be read is
/// dropped instead, as W3C asks.
pub fn read(
    headers: &Headers,
    payload: Option<Bytes>,
    place: Place<'_>,
) -> Result<Incoming, Malformed> {
    let mut found = Attributes::default();
    for (name, value) in headers.iter() {
        let slot = match name {
            b"ce_specversion" => &mut found.spec_version,
            b"ce_id" => &mut found.id,
            b"ce_source" => &mut found.source,
            b"ce_type" => &mut found.event_type,
            b"ce_time" => &mut found.time,
            b"ce_subject" => &mut found.subject,
            b"ce_dataschema" => &mut found.data_schema,
            b"ce_eventversion" => &mut found.version,
            b"ce_correlationid" => &mut found.correlation_id,
            b"ce_causationid" => &mut found.causation_id,
            b"ce_tenantid" => &mut found.tenant,
            b"content-type" => &mut found.content_type,
            b"traceparent" => &mut found.traceparent,
            b"tracestate" => &mut found.tracestate,
            _ => {
                if let Some(slot) = found.plain.slot(name) {
                    *slot = value;
                }
                continue;
            }
        };
        let malformed = |what| {
            let name = String::from_utf8_lossy(name);
            Malformed::new(format!("header {name} {what}"))
        };
        let value = value.ok_or_else(|| malformed("has no value"))?;
        *slot = Some(std::str::from_utf8(value).map_err(|_| malformed("is not UTF-8"))?);
    }
    if found.content_type.is_some_and(is_structured) {
        #[cfg(feature = "json")]
        return structured::read(payload, place);
        #[cfg(not(feature = "json"))]
        return Err(Malformed::new("a CloudEvent in structured mode needs the feature `json`"));
    }
    let format = found.format();
    found.incoming(payload, format, place)
}

/// What can be said of a record whose attributes are passed over: where it lies. Its format is not known.
///
/// # Errors
/// When the place is none.
pub(crate) fn as_placed(payload: Option<Bytes>, place: Place<'_>) -> Result<Incoming, Malformed> {
    Attributes::default().incoming(payload, None, place)
}

/// Whether it is the content type of structured mode.
pub(crate) fn is_structured(content_type: &str) -> bool {
    content_type.len() >= STRUCTURED.len()
        && content_type
            .split(';')
            .next()
            .is_some_and(|essence| essence.trim().eq_ignore_ascii_case(STRUCTURED))
}

/// Attributes as text, whichever mode they came in.
#[derive(Default)]
struct Attributes<'a> {
    spec_version: Option<&'a str>,
    id: Option<&'a str>,
    source: Option<&'a str>,
    event_type: Option<&'a str>,
    time: Option<&'a str>,
    subject: Option<&'a str>,
    data_schema: Option<&'a str>,
    version: Option<&'a str>,
    correlation_id: Option<&'a str>,
    causation_id: Option<&'a str>,
    tenant: Option<&'a str>,
    content_type: Option<&'a str>,
    traceparent: Option<&'a str>,
    tracestate: Option<&'a str>,
    plain: Plain<'a>,
}

/// What a plain record says about itself. It counts for no more than what it is: any producer may use such
/// names for something else, so what is no id is as good as not there.
#[derive(Default)]
struct Plain<'a> {
    id: Option<&'a [u8]>,
    correlation_id: Option<&'a [u8]>,
    causation_id: Option<&'a [u8]>,
}

impl<'a> Plain<'a> {
    fn slot(&mut self, name: &[u8]) -> Option<&mut Option<&'a [u8]>> {
        match name {
            b"message-id" => Some(&mut self.id),
            b"correlation-id" => Some(&mut self.correlation_id),
            b"causation-id" => Some(&mut self.causation_id),
            _ => None,
        }
    }

    fn read(value: Option<&[u8]>) -> Option<EventId> {
        value
            .and_then(|value| std::str::from_utf8(value).ok())
            .and_then(|id| EventId::parse(id).ok())
    }
}

impl Attributes<'_> {
    /// Without a content type it is the default format's, as CloudEvents says for JSON.
    fn format(&self) -> Option<Format> {
        Format::of_content_type(self.content_type.unwrap_or("application/json"))
    }

    fn incoming(
        self,
        payload: Option<Bytes>,
        format: Option<Format>,
        place: Place<'_>,
    ) -> Result<Incoming, Malformed> {
        let plain = self.id.is_none() && self.event_type.is_none() && self.spec_version.is_none();
        if let Some(version) = self.spec_version.filter(|version| *version != "1.0") {
            return Err(Malformed::new(format!(
                "CloudEvents version {version:?} is not known, only 1.0"
            )));
        }
        let missing = |name: &str| Malformed::new(format!("a CloudEvent has no {name}"));
        let id = match self.id {
            Some(id) => EventId::parse(id).map_err(|e| Malformed::new(format!("ce_id: {e}")))?,
            None if plain => Plain::read(self.plain.id).unwrap_or_else(|| place.id()),
            None => return Err(missing("id")),
        };
        let event_type: Arc<str> = match self.event_type {
            Some("") => return Err(missing("type")),
            Some(name) => shared(name),
            None if plain => "".into(),
            None => return Err(missing("type")),
        };
        let source = match self.source {
            Some(source) => {
                Source::new(source).map_err(|e| Malformed::new(format!("ce_source: {e}")))?
            }
            None => Source::new(place.topic).map_err(|e| Malformed::new(format!("source: {e}")))?,
        };
        let version = match self.version {
            None => 1,
            Some(text) => text.parse().ok().filter(|version| *version > 0).ok_or_else(|| {
                Malformed::new(format!("ce_eventversion {text:?} is not a whole number from 1 up"))
            })?,
        };
        let time = match self.time {
            Some(text) => DateTime::parse_from_rfc3339(text)
                .map_err(|_| Malformed::new(format!("ce_time {text:?} is not RFC 3339")))?
                .to_utc(),
            None => place.time(),
        };
        let id_of = |name: &str, text: Option<&str>| {
            text.map(EventId::parse).transpose().map_err(|e| Malformed::new(format!("{name}: {e}")))
        };
        let told = |value| if plain { Plain::read(value) } else { None };
        let correlation_id = id_of("ce_correlationid", self.correlation_id)?
            .or_else(|| told(self.plain.correlation_id))
            .unwrap_or_else(|| id.clone());
        let causation_id =
            id_of("ce_causationid", self.causation_id)?.or_else(|| told(self.plain.causation_id));
        let subject = self.subject.filter(|s| !s.is_empty()).map(Subject::new).transpose();
        let tenant = self.tenant.filter(|s| !s.is_empty()).map(Tenant::new).transpose();
        let metadata = Metadata {
            id,
            source,
            event_type,
            version,
            time,
            subject: subject.map_err(|e| Malformed::new(format!("ce_subject: {e}")))?,
            correlation_id,
            causation_id,
            tenant: tenant.map_err(|e| Malformed::new(format!("ce_tenantid: {e}")))?,
            trace: self
                .traceparent
                .and_then(|parent| TraceContext::parse(parent, self.tracestate).ok()),
            data_schema: self.data_schema.map(Into::into),
        };
        Ok(Incoming { metadata, payload, format, plain })
    }
}

impl Place<'_> {
    /// The same record has the same id each time it is read.
    fn id(&self) -> EventId {
        EventId::parse(&format!("{}/{}/{}", self.topic, self.partition, self.offset))
            .unwrap_or_else(|_| EventId::new())
    }

    fn time(&self) -> DateTime<Utc> {
        self.timestamp
            .and_then(|millis| Utc.timestamp_millis_opt(millis).single())
            .unwrap_or_else(Utc::now)
    }
}

#[cfg(all(test, feature = "json"))]
mod tests;
