//! Formats: how an event becomes bytes and bytes an event.
//!
//! [`cloudevents`] lays an envelope on a record and reads it back.

mod any;
pub mod cloudevents;
mod envelope;
#[cfg(feature = "json")]
mod json;

pub use any::AnyIntegrationEvent;
pub use envelope::{EnvelopeError, envelope};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::BoxError;

/// A payload format. With no format feature enabled there is none to choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(Default))]
#[non_exhaustive]
pub enum Format {
    /// JSON (`application/json`), feature `json`.
    #[cfg(feature = "json")]
    #[default]
    Json,
}

impl Format {
    /// The format of a media type as found in `content-type`; parameters are ignored.
    pub fn of_content_type(content_type: &str) -> Option<Self> {
        #[cfg(feature = "json")]
        if content_type == json::CONTENT_TYPE {
            return Some(Self::Json);
        }
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        match essence {
            #[cfg(feature = "json")]
            _ if essence.eq_ignore_ascii_case("application/json")
                || essence.eq_ignore_ascii_case("text/json")
                || essence.to_ascii_lowercase().ends_with("+json") =>
            {
                Some(Self::Json)
            }
            _ => None,
        }
    }

    /// The media type, as written to `content-type`.
    pub fn content_type(self) -> &'static str {
        match self {
            #[cfg(feature = "json")]
            Self::Json => json::CONTENT_TYPE,
        }
    }

    /// Appends the encoded value to `buffer`.
    ///
    /// # Errors
    /// When the value cannot be said in this format.
    pub fn encode<T: Serialize>(self, value: &T, buffer: &mut Vec<u8>) -> Result<(), EncodeError> {
        let _ = (value, &buffer);
        match self {
            #[cfg(feature = "json")]
            Self::Json => {
                json::encode(value, buffer).map_err(|cause| EncodeError::new::<T>(self, cause))
            }
        }
    }

    /// Decodes a value, straight from the borrowed bytes.
    ///
    /// # Errors
    /// When the bytes are cut short, too deep, or of another shape.
    pub fn decode<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<T, DecodeError> {
        let _ = bytes;
        match self {
            #[cfg(feature = "json")]
            Self::Json => json::decode(bytes).map_err(|cause| DecodeError::new::<T>(self, cause)),
        }
    }
}

/// A value that cannot be encoded. No retry helps.
#[derive(Debug, thiserror::Error)]
#[error("{type_name} cannot be encoded as {content_type}")]
pub struct EncodeError {
    type_name: &'static str,
    content_type: &'static str,
    source: BoxError,
}

impl EncodeError {
    fn new<T>(format: Format, source: BoxError) -> Self {
        Self { type_name: std::any::type_name::<T>(), content_type: format.content_type(), source }
    }
}

/// Bytes that are not the value they should be. No retry helps.
#[derive(Debug, thiserror::Error)]
#[error("the payload cannot be read as {type_name} from {content_type}")]
pub struct DecodeError {
    type_name: &'static str,
    content_type: &'static str,
    source: BoxError,
}

impl DecodeError {
    fn new<T>(format: Format, source: BoxError) -> Self {
        Self {
            type_name: crate::event::simple_type_name::<T>(),
            content_type: format.content_type(),
            source,
        }
    }
}
