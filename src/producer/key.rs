//! Keys of plain messages: bytes or text.

use bytes::Bytes;
use uuid::Uuid;

use crate::event::PartitionKey;

/// What keeps messages in order. Made of text, bytes, a `Uuid` (its text, as events have it) or a [`PartitionKey`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MessageKey(Bytes);

impl MessageKey {
    /// The longest key that a message may have, in bytes.
    pub const MAX_LEN: usize = 32 * 1024;

    /// Its bytes.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

macro_rules! owned {
    ($($from:ty)*) => {$(
        impl From<$from> for MessageKey {
            fn from(key: $from) -> Self {
                Self(key.into())
            }
        }
    )*};
}

owned!(Bytes Vec<u8> String);

impl From<&str> for MessageKey {
    fn from(key: &str) -> Self {
        key.as_bytes().into()
    }
}

impl From<&[u8]> for MessageKey {
    fn from(key: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(key))
    }
}

impl<const N: usize> From<&[u8; N]> for MessageKey {
    fn from(key: &[u8; N]) -> Self {
        key[..].into()
    }
}

impl From<&String> for MessageKey {
    fn from(key: &String) -> Self {
        key.as_str().into()
    }
}

impl From<&Bytes> for MessageKey {
    fn from(key: &Bytes) -> Self {
        Self(key.clone())
    }
}

impl From<Uuid> for MessageKey {
    fn from(key: Uuid) -> Self {
        key.to_string().into()
    }
}

impl From<PartitionKey> for MessageKey {
    fn from(key: PartitionKey) -> Self {
        key.into_string().into()
    }
}
