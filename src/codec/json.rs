//! JSON, typed both ways.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::BoxError;

pub(super) const CONTENT_TYPE: &str = "application/json";

pub(super) fn encode<T: Serialize>(value: &T, buffer: &mut Vec<u8>) -> Result<(), BoxError> {
    let start = buffer.len();
    serde_json::to_writer(&mut *buffer, value).map_err(|error| {
        buffer.truncate(start);
        error.into()
    })
}

/// serde_json bounds the depth at 128 and refuses trailing bytes and numbers out of range.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, BoxError> {
    serde_json::from_slice(bytes).map_err(|error| without_value(&error.to_string()).into())
}

/// What serde says of a value that it did not expect, without the value: errors go to logs and headers, and payloads
/// must not.
fn without_value(text: &str) -> String {
    let names_value = ["invalid type: ", "invalid value: ", "unknown variant ", "unknown field "];
    let expected = text.rfind(", expected ").or_else(|| text.rfind(", there are no "));
    match expected {
        Some(expected) if names_value.iter().any(|begin| text.starts_with(begin)) => {
            let value = text.find(['"', '`']).map_or(expected, |value| value.min(expected));
            format!("{}{}", text[..value].trim_end(), &text[expected..])
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Payment {
        cents: u64,
        kind: Kind,
    }

    #[derive(Debug, Deserialize)]
    enum Kind {
        Card,
    }

    #[test]
    fn an_error_says_where_and_what_was_expected_and_not_what_was_there() {
        let refused = |text: &str| decode::<Payment>(text.as_bytes()).unwrap_err().to_string();
        for (payload, said) in [
            (r#"{"cents":"4111, expected 1"}"#, "invalid type: string, expected u64 at line 1"),
            (r#"{"cents":-4111}"#, "invalid value: integer, expected u64 at line 1"),
            (r#"{"cents":1,"kind":"4111"}"#, "unknown variant, expected `Card` at line 1"),
            (r#"{"4111":1}"#, "unknown field, expected `cents` or `kind` at line 1"),
            (r#"{"cents":4111"#, "EOF while parsing an object at line 1"),
            (r#"{"cents":4111}"#, "missing field `kind` at line 1"),
        ] {
            let error = refused(payload);
            assert!(error.starts_with(said) && !error.contains("4111"), "{payload}: {error}");
        }
    }
}
