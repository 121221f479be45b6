//! A record of production as JSON, to be kept beside tests and replayed byte for byte.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::clock::Millis;
use crate::error::debug_as_told;
use crate::event::{Headers, TopicName};
use crate::transport::{Received, Record};

/// One recorded event.
///
/// As JSON, where bytes are a text if they are UTF-8, else `{"base64": "…"}`, and `null` where there are none:
///
/// ```json
/// {
///   "topic": "integration-events.user_created",
///   "partition": 2,
///   "offset": 1742,
///   "timestamp": 1732190400000,
///   "key": "0193…",
///   "headers": [["ce_id", "0193…"], ["signature", { "base64": "/wAB" }]],
///   "payload": { "json": { "user_id": "0193…" } }
/// }
/// ```
///
/// A payload is `{"json": …}` where it is JSON: taken as it stands in the file, blanks inside included;
/// else `{"text": "…"}` or `{"base64": "…"}`. Partition and offset say where it lay, and may be left
/// out, as the timestamp (Unix milliseconds), key and headers may.
#[derive(Debug, Clone)]
pub struct Fixture {
    topic: TopicName,
    partition: Option<i32>,
    offset: Option<i64>,
    timestamp: Option<Millis>,
    key: Option<Bytes>,
    headers: Headers,
    payload: Option<Bytes>,
}

debug_as_told!(FixtureError);

/// Why a text is no fixture.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum FixtureError {
    /// The file cannot be read.
    #[error("{path} cannot be read")]
    File {
        /// The file.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// It is not a JSON object.
    #[error("a fixture is a JSON object")]
    Json(#[source] serde_json::Error),
    /// A field is missing, unknown, or not what it has to be.
    #[error("{field}: {problem}")]
    Field {
        /// Which: `headers[2][1]`.
        field: String,
        /// What it has to be.
        problem: String,
    },
}

type Fields = BTreeMap<String, Box<RawValue>>;

impl Fixture {
    /// A fixture of a record that was read.
    pub fn of(record: &Received) -> Self {
        Self {
            topic: record.topic.clone(),
            partition: Some(record.partition),
            offset: Some(record.offset),
            timestamp: record.timestamp.map(|timestamp| timestamp.millis()),
            key: record.key.clone(),
            headers: record.headers.clone(),
            payload: record.payload.clone(),
        }
    }

    /// Reads a fixture.
    ///
    /// # Errors
    /// What is wrong with it, and in which field.
    pub fn from_json(text: &str) -> Result<Self, FixtureError> {
        let mut fields: Fields = serde_json::from_str(text).map_err(FixtureError::Json)?;
        let topic = take(&mut fields, "topic")?.ok_or_else(|| wrong("topic", "is missing"))?;
        let topic = topic.as_str().ok_or_else(|| wrong("topic", "is not a text"))?;
        let topic = TopicName::new(topic).map_err(|error| wrong("topic", error))?;
        let partition = number(&mut fields, "partition")?.map(i32::try_from).transpose();
        let fixture = Self {
            topic,
            partition: partition.map_err(|error| wrong("partition", error))?,
            offset: number(&mut fields, "offset")?,
            timestamp: number(&mut fields, "timestamp")?,
            key: take(&mut fields, "key")?.map(|key| bytes("key", &key)).transpose()?.flatten(),
            headers: headers(&mut fields)?,
            payload: payload(&mut fields)?,
        };
        match fields.into_keys().next() {
            Some(field) => Err(wrong(&field, "is not a field of a fixture")),
            None => Ok(fixture),
        }
    }

    /// Reads a fixture from a file.
    ///
    /// # Errors
    /// As [`from_json`](Self::from_json), or when the file cannot be read.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, FixtureError> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path)
            .map_err(|source| FixtureError::File { path: path.display().to_string(), source })?;
        Self::from_json(&text)
    }

    /// The fixture as JSON; [`from_json`](Self::from_json) makes the same record of it.
    pub fn to_json(&self) -> String {
        let headers: Vec<_> = self
            .headers
            .iter()
            .map(|(name, value)| format!("[{}, {}]", said(Some(name)), said(value)))
            .collect();
        let headers = match headers.is_empty() {
            true => "[]".to_owned(),
            false => format!("[\n    {}\n  ]", headers.join(",\n    ")),
        };
        let payload = match self.payload.as_deref() {
            None => "null".to_owned(),
            Some(payload) => match as_json(payload) {
                Some(json) => format!("{{ \"json\": {json} }}"),
                None => match std::str::from_utf8(payload) {
                    Ok(text) => json!({ "text": text }).to_string(),
                    Err(_) => said(Some(payload)).to_string(),
                },
            },
        };
        let fields = [
            ("topic", Value::from(self.topic.as_str()).to_string()),
            ("partition", Value::from(self.partition).to_string()),
            ("offset", Value::from(self.offset).to_string()),
            ("timestamp", Value::from(self.timestamp).to_string()),
            ("key", said(self.key.as_deref()).to_string()),
            ("headers", headers),
            ("payload", payload),
        ];
        let fields = fields.map(|(name, value)| format!("  \"{name}\": {value}"));
        format!("{{\n{}\n}}\n", fields.join(",\n"))
    }

    /// The record that a replay sends: as it was recorded, to the partition that the key chooses.
    pub fn record(&self) -> Record {
        Record {
            topic: self.topic.clone(),
            partition: None,
            key: self.key.clone(),
            payload: self.payload.clone(),
            headers: self.headers.clone(),
            timestamp: self.timestamp,
        }
    }
}

fn wrong(field: &str, problem: impl ToString) -> FixtureError {
    FixtureError::Field { field: field.to_owned(), problem: problem.to_string() }
}

/// A field's value; `None` where it is missing or null.
fn take(fields: &mut Fields, name: &str) -> Result<Option<Value>, FixtureError> {
    let Some(raw) = fields.remove(name) else { return Ok(None) };
    let value: Value = serde_json::from_str(raw.get()).map_err(|error| wrong(name, error))?;
    Ok((!value.is_null()).then_some(value))
}

fn number(fields: &mut Fields, name: &str) -> Result<Option<i64>, FixtureError> {
    let Some(value) = take(fields, name)? else { return Ok(None) };
    value.as_i64().map(Some).ok_or_else(|| wrong(name, "is not a whole number"))
}

fn headers(fields: &mut Fields) -> Result<Headers, FixtureError> {
    let mut headers = Headers::default();
    let Some(value) = take(fields, "headers")? else { return Ok(headers) };
    let list = value.as_array().ok_or_else(|| wrong("headers", "is not a list"))?;
    for (index, header) in list.iter().enumerate() {
        let field = format!("headers[{index}]");
        let Some([name, value]) = header.as_array().map(Vec::as_slice) else {
            return Err(wrong(&field, "is not a list of name and value"));
        };
        let name = bytes(&format!("{field}[0]"), name)?;
        let name = name.ok_or_else(|| wrong(&format!("{field}[0]"), "is null"))?;
        headers.push_raw(&name, bytes(&format!("{field}[1]"), value)?.as_deref());
    }
    Ok(headers)
}

fn payload(fields: &mut Fields) -> Result<Option<Bytes>, FixtureError> {
    let Some(raw) = fields.remove("payload") else {
        return Err(wrong("payload", "is missing; a tombstone's is null"));
    };
    if raw.get() == "null" {
        return Ok(None);
    }
    let shape = r#"is neither null nor one of {"json": …}, {"text": "…"}, {"base64": "…"}"#;
    let inner: Fields = serde_json::from_str(raw.get()).map_err(|_| wrong("payload", shape))?;
    let mut inner = inner.into_iter();
    match (inner.next(), inner.next()) {
        (Some((kind, raw)), None) if kind == "json" => {
            Ok(Some(Bytes::copy_from_slice(raw.get().as_bytes())))
        }
        (Some((kind, raw)), None) if kind == "text" => {
            let text: String =
                serde_json::from_str(raw.get()).map_err(|error| wrong("payload.text", error))?;
            Ok(Some(text.into()))
        }
        (Some((kind, raw)), None) if kind == "base64" => {
            let text: String =
                serde_json::from_str(raw.get()).map_err(|error| wrong("payload.base64", error))?;
            decoded("payload.base64", &text).map(Some)
        }
        _ => Err(wrong("payload", shape)),
    }
}

/// Bytes as `"text"`, `{"base64": "…"}` or `null` say them.
fn bytes(field: &str, value: &Value) -> Result<Option<Bytes>, FixtureError> {
    let coded = |object: &serde_json::Map<String, Value>| match object.len() {
        1 => object.get("base64").and_then(Value::as_str).map(str::to_owned),
        _ => None,
    };
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(Bytes::copy_from_slice(text.as_bytes()))),
        Value::Object(object) => match coded(object) {
            Some(text) => decoded(&format!("{field}.base64"), &text).map(Some),
            None => Err(wrong(field, r#"is neither a text, null nor {"base64": "…"}"#)),
        },
        _ => Err(wrong(field, r#"is neither a text, null nor {"base64": "…"}"#)),
    }
}

fn decoded(field: &str, text: &str) -> Result<Bytes, FixtureError> {
    STANDARD.decode(text).map(Bytes::from).map_err(|error| wrong(field, error))
}

/// The reverse of [`bytes`].
fn said(bytes: Option<&[u8]>) -> Value {
    match bytes.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => Value::Null,
        Some((_, Ok(text))) => text.into(),
        Some((bytes, Err(_))) => json!({ "base64": STANDARD.encode(bytes) }),
    }
}

/// The payload's text, where it stands in a JSON document as it is and comes out of it as it was.
fn as_json(payload: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(payload).ok()?;
    let raw: &RawValue = serde_json::from_str(text).ok()?;
    (raw.get() == text).then_some(text)
}
