//! CloudEvents structured mode: the JSON event format in a record's value.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Attributes, Incoming, Malformed, Place, Plain, time_text};
use crate::codec::Format;
use crate::event::Metadata;

#[derive(Serialize)]
struct Out<'a> {
    specversion: &'static str,
    id: String,
    source: &'a str,
    r#type: &'a str,
    time: String,
    datacontenttype: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dataschema: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    eventversion: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlationid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    causationid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenantid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tracestate: Option<&'a str>,
    data: &'a RawValue,
}

#[derive(Deserialize)]
struct In<'a> {
    #[serde(borrow)]
    specversion: Cow<'a, str>,
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    source: Cow<'a, str>,
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    #[serde(borrow, default)]
    time: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    datacontenttype: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    subject: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    dataschema: Option<Cow<'a, str>>,
    #[serde(default)]
    eventversion: Option<serde_json::Number>,
    #[serde(borrow, default)]
    correlationid: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    causationid: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    tenantid: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    traceparent: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    tracestate: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

pub(super) fn write(
    metadata: &Metadata,
    content_type: &str,
    payload: &[u8],
) -> Result<Bytes, Malformed> {
    let data = serde_json::from_slice(payload).map_err(|e| {
        Malformed::new(format!("structured mode carries JSON, the payload is none: {e}"))
    })?;
    let trace = metadata.trace.as_ref();
    let event = Out {
        specversion: "1.0",
        id: metadata.id.to_string(),
        source: metadata.source.as_str(),
        r#type: &metadata.event_type,
        time: time_text(metadata.time),
        datacontenttype: content_type,
        subject: metadata.subject.as_ref().map(|s| s.as_str()),
        dataschema: metadata.data_schema.as_deref(),
        eventversion: (metadata.version != 1).then_some(metadata.version),
        correlationid: (metadata.correlation_id != metadata.id)
            .then(|| metadata.correlation_id.to_string()),
        causationid: metadata.causation_id.as_ref().map(ToString::to_string),
        tenantid: metadata.tenant.as_ref().map(|t| t.as_str()),
        traceparent: trace.map(|t| t.traceparent()),
        tracestate: trace.and_then(|t| t.tracestate()),
        data,
    };
    serde_json::to_vec(&event).map(Bytes::from).map_err(|e| Malformed::new(e.to_string()))
}

pub(super) fn read(value: Option<Bytes>, place: Place<'_>) -> Result<Incoming, Malformed> {
    let value =
        value.ok_or_else(|| Malformed::new("a CloudEvent in structured mode has no value"))?;
    let event: In<'_> = serde_json::from_slice(&value)
        .map_err(|e| Malformed::new(format!("the value is not a CloudEvent in JSON: {e}")))?;
    let version = event.eventversion.as_ref().map(ToString::to_string);
    let attributes = Attributes {
        spec_version: Some(&event.specversion),
        id: Some(&event.id),
        source: Some(&event.source),
        event_type: Some(&event.r#type),
        time: event.time.as_deref(),
        subject: event.subject.as_deref(),
        data_schema: event.dataschema.as_deref(),
        version: version.as_deref(),
        correlation_id: event.correlationid.as_deref(),
        causation_id: event.causationid.as_deref(),
        tenant: event.tenantid.as_deref(),
        content_type: event.datacontenttype.as_deref(),
        traceparent: event.traceparent.as_deref(),
        tracestate: event.tracestate.as_deref(),
        plain: Plain::default(),
    };
    let format: Option<Format> = attributes.format();
    let payload = event.data.map(|data| value.slice_ref(data.get().as_bytes()));
    attributes.incoming(payload, format, place)
}
