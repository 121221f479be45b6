//! A key of a state topic, as a view keeps it.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// A record's key. Usually text; a stranger may have written anything. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StateKey(Arc<[u8]>);

impl StateKey {
    pub(super) fn new(bytes: &[u8]) -> Self {
        // A copy: the record's own may be a part of an allocation that many records share.
        Self(bytes.into())
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// As text; `None` where it is not UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl AsRef<[u8]> for StateKey {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Borrow<[u8]> for StateKey {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq<str> for StateKey {
    fn eq(&self, other: &str) -> bool {
        *self.0 == *other.as_bytes()
    }
}

impl PartialEq<&str> for StateKey {
    fn eq(&self, other: &&str) -> bool {
        self == *other
    }
}

impl fmt::Display for StateKey {
    /// What is not UTF-8 is shown as `�`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for StateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&String::from_utf8_lossy(&self.0), f)
    }
}
