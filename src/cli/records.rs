//! Records as lines of JSON: what `consume` writes is what `produce` reads, byte for byte.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use super::error::{CliError, Exit};
use super::format::{safe_json, steers, time};
use super::lines::told;
use crate::event::Headers;
use crate::transport::Received;

/// The name of what is no text.
const BASE64: &str = "base64";
/// Fields that say where a record lay.
const PLACE: [&str; 4] = ["topic", "partition", "offset", "timestamp"];

/// Text where it is text, else an object with the bytes in Base64.
fn text_or_bytes(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => json!({ BASE64: STANDARD.encode(bytes) }),
    }
}

/// A payload as people read it.
fn readable(payload: &[u8]) -> Value {
    serde_json::from_slice(payload).unwrap_or_else(|_| text_or_bytes(payload))
}

/// Whether a value is what a payload reads as. A number may lose a digit where it is written and read again.
fn says(value: &Value, payload: &[u8]) -> bool {
    let readable = readable(payload);
    let again = || serde_json::from_str::<Value>(&readable.to_string()).ok();
    *value == readable || again().as_ref() == Some(value)
}

/// What [`text_or_bytes`] has made a value of; `None` of null.
fn bytes_of(what: &str, value: &Value) -> Result<Option<Bytes>, String> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(Bytes::copy_from_slice(text.as_bytes()))),
        other => match in_base64(other) {
            Some(text) => match STANDARD.decode(text) {
                Ok(bytes) => Ok(Some(bytes.into())),
                Err(error) => Err(format!("its {what} is no Base64: {error}")),
            },
            None => Err(format!("its {what} is no text, no {{\"{BASE64}\": …}} and not null")),
        },
    }
}

fn in_base64(value: &Value) -> Option<&str> {
    let object = value.as_object().filter(|object| object.len() == 1)?;
    object.get(BASE64)?.as_str()
}

/// A record on a line.
#[derive(Serialize)]
struct Written<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
    timestamp: Option<String>,
    key: Option<Value>,
    value: Box<RawValue>,
    /// The payload's text, where `value` does not stand for its bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a str>,
    /// A list: a name may come more than once.
    headers: Vec<[Value; 2]>,
}

/// A record as one JSON object on a line. A payload that is JSON stands in it as such.
pub(super) fn as_json(record: &Received) -> Result<String, CliError> {
    let payload = record.payload.as_deref();
    let as_text = payload.and_then(|payload| std::str::from_utf8(payload).ok());
    let parsed = as_text.and_then(|text| serde_json::from_str::<Value>(text).ok());
    let verbatim = as_text.zip(parsed.as_ref()).and_then(|(text, parsed)| {
        let is_taken = parsed.is_null() || in_base64(parsed).is_some();
        let raw = serde_json::from_str::<&RawValue>(text).ok()?;
        (!is_taken && raw.get() == text && !text.chars().any(steers)).then(|| raw.to_owned())
    });
    let is_exact = verbatim.is_some();
    let headers = record.headers.iter();
    let written = || {
        Ok::<_, serde_json::Error>(Written {
            topic: record.topic.as_str(),
            partition: record.partition,
            offset: record.offset,
            timestamp: record.timestamp.map(|at| time(at.millis())),
            key: record.key.as_deref().map(text_or_bytes),
            value: match verbatim {
                Some(verbatim) => verbatim,
                None => to_raw_value(&payload.map_or(Value::Null, readable))?,
            },
            payload: as_text.filter(|_| !is_exact),
            headers: headers
                .map(|(name, value)| {
                    [text_or_bytes(name), value.map_or(Value::Null, text_or_bytes)]
                })
                .collect(),
        })
    };
    let line = written().and_then(|written| serde_json::to_string(&written)).map_err(|error| {
        CliError::new(Exit::Refused, format!("a record cannot be written as JSON: {error}"))
    })?;
    Ok(safe_json(&line).into())
}

/// What a line says of a record; where it lay does not matter.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WrittenRecord {
    pub(super) key: Option<Bytes>,
    pub(super) payload: Option<Bytes>,
    pub(super) headers: Headers,
}

impl WrittenRecord {
    /// Reads a line.
    pub(super) fn read(line: &[u8]) -> Result<Self, String> {
        let fields: BTreeMap<String, &RawValue> =
            serde_json::from_slice(line).map_err(|error| match error.is_data() {
                true => {
                    "this is no record: a record is an object, as `consume --format json` writes it"
                        .into()
                }
                false => told(error),
            })?;
        let known = ["key", "value", "payload", "headers"];
        let strange = |name: &&String| !PLACE.iter().chain(&known).any(|known| known == name);
        if let Some(name) = fields.keys().find(strange) {
            return Err(format!(
                "a record has no field {name:?}; `--format payload` sends a line as it is"
            ));
        }
        let parsed = |name: &str| {
            let field = fields.get(name).map(|raw| serde_json::from_str::<Value>(raw.get()));
            field.transpose().map_err(|error| format!("its {name} cannot be read: {error}"))
        };
        let key = parsed("key")?.map_or(Ok(None), |key| bytes_of("key", &key))?;
        let value = parsed("value")?;
        let payload = match (parsed("payload")?, fields.get("value"), value) {
            (Some(payload), _, value) => {
                let payload = bytes_of("payload", &payload)?.ok_or(
                    "its `payload` is null; a tombstone is a `value` of null without a `payload`",
                )?;
                // Null stands for what is no value: only the payload says which.
                if value.is_some_and(|value| !value.is_null() && !says(&value, &payload)) {
                    return Err("its `payload`, which is what is sent, is not what its `value` says; leave out one of \
                         them, or change both"
                        .into());
                }
                Some(payload)
            }
            (None, Some(_), Some(value)) if value.is_null() || in_base64(&value).is_some() => {
                bytes_of("value", &value)?
            }
            (None, Some(raw), _) => Some(Bytes::copy_from_slice(raw.get().as_bytes())),
            (None, None, _) => return Err("it has no `value`; null is a tombstone".into()),
        };
        Ok(Self { key, payload, headers: headers(parsed("headers")?)? })
    }
}

fn headers(list: Option<Value>) -> Result<Headers, String> {
    let mut headers = Headers::default();
    let wrong = || "its headers are no list of [name, value]".to_owned();
    for pair in list.as_ref().map_or(Some(&Vec::new()), Value::as_array).ok_or_else(wrong)? {
        let [name, value] = &**pair.as_array().ok_or_else(wrong)? else { return Err(wrong()) };
        let name = bytes_of("header's name", name)?.ok_or_else(wrong)?;
        headers.push_raw(&name, bytes_of("header's value", value)?.as_deref());
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::TopicName;
    use crate::transport::Timestamp;

    fn record(key: Option<&'static [u8]>, payload: Option<&'static [u8]>) -> Received {
        let mut headers = Headers::default();
        headers.push("ce_type", "user_created");
        Received {
            topic: TopicName::from_static("users"),
            partition: 1,
            offset: 7,
            timestamp: Some(Timestamp::Created(0)),
            key: key.map(Bytes::from_static),
            payload: payload.map(Bytes::from_static),
            headers,
        }
    }

    fn shown(key: Option<&'static [u8]>, payload: Option<&'static [u8]>) -> Value {
        serde_json::from_str(&as_json(&record(key, payload)).unwrap()).unwrap()
    }

    #[test]
    fn a_record_is_json_with_what_is_no_text_in_base_64() {
        assert_eq!(
            as_json(&record(Some(b"k"), Some(br#"{"n": 1}"#))).unwrap(),
            r#"{"topic":"users","partition":1,"offset":7,"timestamp":"1970-01-01T00:00:00.000Z","key":"k","value":{"n": 1},"headers":[["ce_type","user_created"]]}"#
        );
        let bytes = shown(Some(&[0xff]), None);
        assert_eq!((&bytes["key"], &bytes["value"]), (&json!({ "base64": "/w==" }), &Value::Null));
        let text = shown(None, Some(b"no json"));
        assert_eq!((&text["value"], &text["payload"]), (&json!("no json"), &json!("no json")));
        assert_eq!(shown(None, Some(&[0xff]))["value"], json!({ "base64": "/w==" }));
    }

    #[test]
    fn what_is_written_is_read_byte_for_byte() {
        for payload in [
            None,
            Some(&b""[..]),
            Some(b"null"),
            Some(b"no json"),
            Some(b"\"json text\""),
            Some(b" {\"b\" : 1,\t\"a\":1.0}\r\n"),
            Some(b"{\"b\":1e2,\"a\":12345678901234567890123,\"a\":2}"),
            Some(b"{\"base64\":\"/w==\"}"),
            Some(b"{\"base64\":1}"),
            Some(b" [0.1e-300, 123456789.123456789123456789e250, 1.7976931348623157e308, 9007199254740993.0]"),
            Some(b"1e999"),
            Some(b"\"\\ud800\""),
            Some("\"\u{9b}2J\u{7f}\"".as_bytes()),
            Some(b"\xff\x00\xfe"),
        ] {
            for key in [None, Some(&b""[..]), Some(b"k\n\x1b"), Some(b"\xff")] {
                let mut record = record(key, payload);
                record.headers.push("ce_type", "again");
                record.headers.push_raw(b"none", None);
                record.headers.push("empty", "");
                record.headers.push([0xfe], [0xff]);
                let line = as_json(&record).unwrap();
                assert!(!line.chars().any(steers), "{line:?}");
                let read = WrittenRecord::read(line.as_bytes()).unwrap();
                let Received { key, payload, headers, .. } = record;
                assert_eq!(read, WrittenRecord { key, payload, headers }, "{line}");
            }
        }
    }

    #[test]
    fn a_payload_that_is_what_the_value_says_is_sent() {
        for (line, payload) in [
            (r#"{"value":{"a":1},"payload":" {\"a\" : 1}"}"#, " {\"a\" : 1}"),
            (r#"{"value":"text","payload":"text"}"#, "text"),
            (r#"{"value":null,"payload":"null"}"#, "null"),
            (r#"{"payload":"text"}"#, "text"),
            (r#"{"value":"text","payload":{"base64":"dGV4dA=="}}"#, "text"),
        ] {
            let read = WrittenRecord::read(line.as_bytes()).unwrap().payload;
            assert_eq!(read.as_deref(), Some(payload.as_bytes()), "{line}");
        }
    }

    #[test]
    fn a_line_that_is_no_record_is_refused_with_the_reason() {
        for (line, why) in [
            ("[1]", "this is no record"),
            ("{\"value\":", "the JSON is cut off"),
            ("nonsense", "this is not JSON"),
            ("{\"key\":\"k\"}", "it has no `value`"),
            ("{\"id\":1}", "a record has no field \"id\"; `--format payload`"),
            ("{\"value\":1,\"payload\":null}", "its `payload` is null; a tombstone is"),
            ("{\"payload\":null}", "its `payload` is null"),
            ("{\"value\":{\"a\":1},\"payload\":\"old\"}", "is not what its `value` says"),
            ("{\"value\":{\"a\":1},\"payload\":\"{\\\"a\\\":2}\"}", "is not what its `value` says"),
            (
                "{\"value\":\"new\",\"payload\":{\"base64\":\"/w==\"}}",
                "is not what its `value` says",
            ),
            ("{\"value\":1,\"key\":7}", "its key is no text"),
            ("{\"value\":1,\"key\":{\"base64\":\"?\"}}", "its key is no Base64"),
            ("{\"value\":1,\"headers\":{\"a\":\"b\"}}", "its headers are no list"),
            ("{\"value\":1,\"headers\":[[null,\"b\"]]}", "its headers are no list"),
            ("{\"value\":1,\"headers\":[[\"a\",1]]}", "its header's value is no text"),
        ] {
            let error = WrittenRecord::read(line.as_bytes()).unwrap_err();
            assert!(error.contains(why), "{line}: {error}");
        }
    }
}
