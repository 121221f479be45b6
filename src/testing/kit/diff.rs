//! Events compared as they are on the wire: by their JSON, field by field.

use std::fmt::Write;

use serde_json::Value;

use crate::codec::{AnyIntegrationEvent, Format};
use crate::event::Envelope;

/// An event as it is compared.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plain {
    name: String,
    version: u32,
    topic: String,
    key: Option<String>,
    json: Value,
}

impl Plain {
    /// # Errors
    /// When it has no usable key or cannot be encoded.
    pub(super) fn of(event: &dyn AnyIntegrationEvent) -> Result<Self, String> {
        let name = event.name();
        let encoded = event.encode(Format::Json);
        let encoded =
            encoded.map_err(|error| format!("{name}: {}", crate::error::chain(&error)))?;
        let key = event.partition_key().map_err(|error| format!("{name}: {error}"))?;
        Ok(Self {
            name: name.to_owned(),
            version: event.version(),
            topic: event.topic().to_string(),
            key: key.map(|key| key.into_string()),
            json: json(&encoded.payload),
        })
    }

    pub(super) fn of_envelope(envelope: &Envelope) -> Self {
        Self {
            name: envelope.metadata.event_type.to_string(),
            version: envelope.metadata.version,
            topic: envelope.topic.to_string(),
            key: envelope.key.as_ref().map(ToString::to_string),
            json: json(&envelope.event.payload),
        }
    }

    fn line(&self) -> String {
        format!("{} {}", self.name, self.json)
    }

    /// What differs, a line each: `full_name: expected "Ada", was "Eve"`.
    fn differences(&self, was: &Self) -> Vec<String> {
        let mut found = Vec::new();
        if self.name != was.name {
            return vec![format!("expected {}, was {}", self.name, was.name)];
        }
        let mut field = |what: &str, expected: &dyn std::fmt::Debug, was: &dyn std::fmt::Debug| {
            let (expected, was) = (format!("{expected:?}"), format!("{was:?}"));
            if expected != was {
                found.push(format!("{what}: expected {expected}, was {was}"));
            }
        };
        field("version", &self.version, &was.version);
        field("topic", &self.topic, &was.topic);
        field("partition key", &self.key, &was.key);
        values("", &self.json, &was.json, &mut found);
        found
    }
}

fn json(payload: &[u8]) -> Value {
    // Only a stranger's payload is no JSON; its text then says so.
    serde_json::from_slice(payload)
        .unwrap_or_else(|_| String::from_utf8_lossy(payload).into_owned().into())
}

fn values(path: &str, expected: &Value, was: &Value, found: &mut Vec<String>) {
    let below = |name: &str| match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    };
    match (expected, was) {
        (Value::Object(expected), Value::Object(was)) => {
            for (name, value) in expected {
                match was.get(name) {
                    Some(other) => values(&below(name), value, other, found),
                    None => found.push(format!("{}: expected {value}, was not there", below(name))),
                }
            }
            for (name, value) in was.iter().filter(|(name, _)| !expected.contains_key(*name)) {
                found.push(format!("{}: not expected, was {value}", below(name)));
            }
        }
        (Value::Array(expected), Value::Array(was)) if expected.len() == was.len() => {
            for (index, (expected, was)) in expected.iter().zip(was).enumerate() {
                values(&format!("{path}[{index}]"), expected, was, found);
            }
        }
        _ if expected == was => {}
        _ => {
            let path = if path.is_empty() { "the payload" } else { path };
            found.push(format!("{path}: expected {expected}, was {was}"));
        }
    }
}

/// Compares two lists in order; says all that differs.
///
/// # Errors
/// The lists and their differences, as text.
pub(super) fn same(expected: &[Plain], was: &[Plain]) -> Result<(), String> {
    if expected == was {
        return Ok(());
    }
    let mut text = String::from("expected to be published, in this order:\n");
    list(&mut text, expected);
    text.push_str("but it was:\n");
    list(&mut text, was);
    for (index, (expected, was)) in expected.iter().zip(was).enumerate() {
        for difference in expected.differences(was) {
            let _ = writeln!(text, "event {}: {difference}", index + 1);
        }
    }
    Err(text)
}

fn list(text: &mut String, events: &[Plain]) {
    if events.is_empty() {
        text.push_str("  no event\n");
    }
    for (index, event) in events.iter().enumerate() {
        let _ = writeln!(text, "  {}. {}", index + 1, event.line());
    }
}
