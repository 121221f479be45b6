//! Partition keys.

use std::fmt;

use uuid::Uuid;

/// The longest key, in bytes.
const MAX_LEN: usize = 1024;

/// Events of one key stay in order. UTF-8, 1 to 1,024 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartitionKey(String);

impl PartitionKey {
    /// Checks a text that is to be a key.
    ///
    /// # Errors
    /// When it is empty or longer than 1,024 bytes.
    pub fn new(key: impl Into<String>) -> Result<Self, InvalidKey> {
        let key = key.into();
        match key.len() {
            0 => Err(InvalidKey::Empty),
            1..=MAX_LEN => Ok(Self(key)),
            len => Err(InvalidKey::TooLong { len }),
        }
    }

    /// The key's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key's text, owned.
    pub fn into_string(self) -> String {
        self.0
    }
}

/// Why a value is no partition key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidKey {
    /// An empty key would put all its events on one partition without anybody having meant it.
    #[error("a partition key must not be empty; an event without a key answers `None`")]
    Empty,
    /// Keys are stored with every record.
    #[error("a partition key has at most 1,024 bytes, this one has {len}")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
}

impl fmt::Display for PartitionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Uuid> for PartitionKey {
    fn from(id: Uuid) -> Self {
        Self(id.to_string())
    }
}

impl TryFrom<String> for PartitionKey {
    type Error = InvalidKey;

    fn try_from(key: String) -> Result<Self, Self::Error> {
        Self::new(key)
    }
}

impl TryFrom<&str> for PartitionKey {
    type Error = InvalidKey;

    fn try_from(key: &str) -> Result<Self, Self::Error> {
        Self::new(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_neither_empty_nor_endless() {
        assert_eq!(PartitionKey::new(""), Err(InvalidKey::Empty));
        assert_eq!(PartitionKey::new("k".repeat(1025)), Err(InvalidKey::TooLong { len: 1025 }));
        assert_eq!(PartitionKey::new("user-7").unwrap().as_str(), "user-7");
    }
}
