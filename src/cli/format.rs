//! Texts that options are made of, and how records become text.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::Value;

use crate::clock::Millis;
use crate::transport::{Position, Received};

/// `name=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) name: String,
    pub(super) value: String,
}

impl FromStr for Pair {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => {
                Ok(Self { name: name.to_owned(), value: value.to_owned() })
            }
            _ => Err("write `name=value`".into()),
        }
    }
}

/// Where reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct From(pub(super) Position);

impl FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let help = "write `earliest`, `latest`, `offset:12`, or a time like `2026-11-21T10:00:00Z`";
        let position = match text {
            "earliest" => Position::Earliest,
            "latest" => Position::Latest,
            _ => match text.strip_prefix("offset:") {
                Some(offset) => match offset.parse::<i64>() {
                    Ok(offset) if offset >= 0 => Position::Offset(offset),
                    _ => return Err(format!("an offset is a whole number from 0 up; {help}")),
                },
                None => {
                    let time = text.strip_prefix("time:").unwrap_or(text);
                    let time = DateTime::parse_from_rfc3339(time).map_err(|_| help.to_owned())?;
                    Position::Time(time.timestamp_millis())
                }
            },
        };
        Ok(Self(position))
    }
}

/// A time as people and programs read it.
pub(super) fn time(millis: Millis) -> String {
    match DateTime::<Utc>::from_timestamp_millis(millis) {
        Some(time) => time.to_rfc3339_opts(SecondsFormat::Millis, true),
        None => millis.to_string(),
    }
}

/// A record as people read it. Control characters of strangers do not reach the terminal.
pub(super) fn pretty(record: &Received, headers: bool) -> String {
    let mut text = format!("{}/{} @{}", record.topic, record.partition, record.offset);
    let mut add = |part: String| {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{part}");
    };
    if let Some(at) = record.timestamp {
        add(format!("  {}", time(at.millis())));
    }
    match record.key.as_deref() {
        Some(key) => add(format!("  key {}", harmless(key))),
        None => add("  no key".into()),
    }
    if headers {
        for (name, value) in record.headers.iter() {
            let value = value.map_or_else(|| "(none)".into(), harmless);
            add(format!("\n  {}: {value}", harmless(name)));
        }
    }
    add("\n".into());
    match record.payload.as_deref() {
        None => add("(tombstone)".into()),
        Some(payload) => match serde_json::from_slice::<Value>(payload) {
            Ok(value) => add(safe_json(&format!("{value:#}")).into()),
            Err(_) => add(harmless(payload)),
        },
    }
    text
}

/// Whether a character steers a terminal, ends a line, or makes text look like another: controls, line separators, and
/// those that turn the direction of writing.
pub(super) fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A stranger's text as a part of a line.
pub(super) fn on_a_line(text: &str) -> Cow<'_, str> {
    if text.chars().any(steers) { text.escape_debug().to_string().into() } else { text.into() }
}

/// JSON that says the same and steers no terminal: in it such characters stand in texts only, line feeds apart.
pub(super) fn safe_json(json: &str) -> Cow<'_, str> {
    let steers = |c: char| c != '\n' && steers(c);
    if !json.chars().any(steers) {
        return json.into();
    }
    let mut safe = String::with_capacity(json.len() + 8);
    for c in json.chars() {
        if steers(c) {
            // Writing to a `String` cannot fail. All of them have four digits.
            let _ = write!(safe, "\\u{:04x}", u32::from(c));
        } else {
            safe.push(c);
        }
    }
    safe.into()
}

fn harmless(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => on_a_line(text).into(),
        Err(_) => format!("({} bytes, Base64: {})", bytes.len(), STANDARD.encode(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::event::{Headers, TopicName};
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

    #[test]
    fn a_place_to_begin_is_read_from_its_text() {
        for (text, position) in [
            ("earliest", Position::Earliest),
            ("latest", Position::Latest),
            ("offset:12", Position::Offset(12)),
            ("1970-01-01T00:00:01Z", Position::Time(1_000)),
            ("time:1970-01-01T01:00:01+01:00", Position::Time(1_000)),
        ] {
            assert_eq!(text.parse(), Ok(From(position)), "{text}");
        }
        for text in ["", "first", "offset:-1", "offset:x", "12", "2026-11-21"] {
            let error = text.parse::<From>().unwrap_err();
            assert!(error.contains("`earliest`"), "{error}");
        }
    }

    #[test]
    fn a_stranger_cannot_steer_the_terminal() {
        let text = pretty(&record(Some(b"\x1b[2J"), Some(b"\x1b]0;title\x07")), true);
        assert!(!text.contains('\x1b') && text.contains("\\u{1b}"), "{text}");
        // A line feed would make a line of the key, which looks like another record; others are legal in JSON.
        let text = pretty(
            &record(Some(b"a\nusers/0 @7"), Some("{\"a\":\"\u{9b}2J\u{7f}\u{202e}\"}".as_bytes())),
            false,
        );
        assert_eq!(
            text,
            "users/1 @7  1970-01-01T00:00:00.000Z  key a\\nusers/0 @7\n{\n  \"a\": \"\\u009b2J\\u007f\\u202e\"\n}"
        );
        let text = pretty(&record(None, Some(br#"{"n":1}"#)), false);
        assert_eq!(text, "users/1 @7  1970-01-01T00:00:00.000Z  no key\n{\n  \"n\": 1\n}");
        assert!(pretty(&record(None, None), false).ends_with("(tombstone)"));
    }
}
