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
    serde_json::from_slice(bytes).map_err(Into::into)
}
