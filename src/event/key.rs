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

/// What a partition key can be made of: `#[event(key = user_id)]` asks it of the field.
///
/// A newtype of the user's passes the call on: `self.0.to_partition_key()`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a partition key",
    label = "not a partition key",
    note = "a key is a `Uuid`, an integer, a text, a `PartitionKey`, or an `Option` of one of them; \
            for a type of yours write `impl tidings::event::ToPartitionKey for {Self}`"
)]
pub trait ToPartitionKey {
    /// The key; `None` where this value asks for no order.
    ///
    /// # Errors
    /// When the value is empty or too long.
    fn to_partition_key(&self) -> Result<Option<PartitionKey>, InvalidKey>;
}

impl ToPartitionKey for PartitionKey {
    fn to_partition_key(&self) -> Result<Option<PartitionKey>, InvalidKey> {
        Ok(Some(self.clone()))
    }
}

impl ToPartitionKey for Uuid {
    fn to_partition_key(&self) -> Result<Option<PartitionKey>, InvalidKey> {
        Ok(Some((*self).into()))
    }
}

impl ToPartitionKey for str {
    fn to_partition_key(&self) -> Result<Option<PartitionKey>, InvalidKey> {
        PartitionKey::new(self).map(Some)
    }
}

impl ToPartitionKey for String {
    fn to_partition_key(&self) -> Result<Option<PartitionKey>, InvalidKey> {
        self.as_str().to_partition_key()
    }
}

impl<T: ToPartitionKey + ?Sized> ToPartitionKey for &T {
    fn to_partition_key(&self) -> Result<Option<PartitionKey>, InvalidKey> {
        (**self).to_partition_key()
    }
}

impl<T: ToPartitionKey> ToPartitionKey for Option<T> {
    fn to_partition_key(&self) -> Result<Option<PartitionKey>, InvalidKey> {
        self.as_ref().map_or(Ok(None), T::to_partition_key)
    }
}

macro_rules! integers {
    ($($integer:ty)*) => {$(
        #[diagnostic::do_not_recommend]
        impl ToPartitionKey for $integer {
            fn to_partition_key(&self) -> Result<Option<PartitionKey>, InvalidKey> {
                Ok(Some(PartitionKey(self.to_string())))
            }
        }
    )*};
}

integers!(u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_neither_empty_nor_endless() {
        assert_eq!(PartitionKey::new(""), Err(InvalidKey::Empty));
        assert_eq!(PartitionKey::new("k".repeat(1025)), Err(InvalidKey::TooLong { len: 1025 }));
        assert_eq!(PartitionKey::new("user-7").unwrap().as_str(), "user-7");
    }

    #[test]
    fn fields_become_keys_and_a_missing_one_asks_for_no_order() {
        let text = |key: &dyn ToPartitionKey| {
            key.to_partition_key().map(|key| key.map(PartitionKey::into_string))
        };
        assert_eq!(text(&7_i64), Ok(Some("7".to_owned())));
        assert_eq!(text(&Uuid::nil()), Ok(Some(Uuid::nil().to_string())));
        assert_eq!(text(&Some("user-7")), Ok(Some("user-7".to_owned())));
        assert_eq!(text(&None::<String>), Ok(None));
        assert_eq!(text(&String::new()), Err(InvalidKey::Empty));
    }
}
