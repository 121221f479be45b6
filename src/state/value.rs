//! Reading a value: whatever a record holds, the answer is a value or a reason.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::codec::Format;
use crate::codec::cloudevents::{self, Place};
use crate::error::chain;
use crate::event::header;
use crate::task;
use crate::transport::Received;

/// The value of a record that has a payload.
pub(super) fn decode<V: DeserializeOwned>(record: &Received, payload: &Bytes) -> Result<V, String> {
    // A type's own code reads it.
    catch_unwind(AssertUnwindSafe(|| read(record, payload))).unwrap_or_else(|panic| {
        Err(format!("reading it panicked: {}", task::message(&*panic).unwrap_or("no message")))
    })
}

fn read<V: DeserializeOwned>(record: &Received, payload: &Bytes) -> Result<V, String> {
    let content_type = record.headers.get_str(header::CONTENT_TYPE);
    if content_type.is_some_and(cloudevents::is_structured) {
        let place = Place {
            topic: record.topic.as_str(),
            partition: record.partition,
            offset: record.offset,
            timestamp: record.timestamp.map(crate::transport::Timestamp::millis),
        };
        let incoming = cloudevents::read(&record.headers, Some(payload.clone()), place)
            .map_err(|error| chain(&error))?;
        let format = incoming.format.ok_or_else(|| unknown("that of its CloudEvent"))?;
        let payload = incoming.payload.ok_or("its CloudEvent has no data")?;
        return format.decode(&payload).map_err(|error| chain(&error));
    }
    // What says nothing is JSON, as elsewhere.
    let content_type = content_type.unwrap_or("application/json");
    let format = Format::of_content_type(content_type).ok_or_else(|| unknown(content_type))?;
    format.decode(payload).map_err(|error| chain(&error))
}

fn unknown(content_type: &str) -> String {
    format!("its content type, {content_type}, is not known here")
}
