//! Event ids: UUIDv7 where we make them, any short text where a stranger did.

use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

/// The longest id of a stranger that is accepted, in bytes.
const MAX_LEN: usize = 256;

/// The id of an event (`ce_id`), and with it of whatever follows from it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(Repr);

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Repr {
    Uuid(Uuid),
    Text(Arc<str>),
}

impl EventId {
    /// A new id (UUIDv7: ordered by time of making).
    #[allow(
        clippy::new_without_default,
        reason = "a default that differs each time would surprise"
    )]
    pub fn new() -> Self {
        Self(Repr::Uuid(Uuid::now_v7()))
    }

    /// Reads an id from the wire. A UUID in its usual form is kept as one, in lower case.
    ///
    /// # Errors
    /// When it is empty, longer than 256 bytes, or holds control characters.
    pub fn parse(text: &str) -> Result<Self, InvalidEventId> {
        if text.len() == 36
            && let Ok(id) = Uuid::try_parse(text)
        {
            return Ok(Self(Repr::Uuid(id)));
        }
        if text.is_empty() || text.len() > MAX_LEN || text.chars().any(char::is_control) {
            return Err(InvalidEventId);
        }
        Ok(Self(Repr::Text(text.into())))
    }

    /// The UUID, where the id is one.
    pub fn as_uuid(&self) -> Option<Uuid> {
        match self.0 {
            Repr::Uuid(id) => Some(id),
            Repr::Text(_) => None,
        }
    }

    /// Hands the id's text to `f` without allocating.
    pub fn with_str<T>(&self, f: impl FnOnce(&str) -> T) -> T {
        match &self.0 {
            Repr::Uuid(id) => f(id.hyphenated().encode_lower(&mut Uuid::encode_buffer())),
            Repr::Text(text) => f(text),
        }
    }
}

/// A text that cannot be an event id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event id has 1 to 256 bytes and no control characters")]
pub struct InvalidEventId;

impl From<Uuid> for EventId {
    fn from(id: Uuid) -> Self {
        Self(Repr::Uuid(id))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_str(|text| f.write_str(text))
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_we_make_are_uuids_of_version_7_in_order() {
        let (first, second) = (EventId::new(), EventId::new());
        assert_eq!(first.as_uuid().unwrap().get_version_num(), 7);
        assert!(first < second);
        assert_eq!(EventId::parse(&first.to_string()), Ok(first));
    }

    #[test]
    fn an_id_of_a_stranger_is_any_short_text_without_control_characters() {
        assert_eq!(EventId::parse("order-7/42").unwrap().to_string(), "order-7/42");
        for bad in ["", "a\nb", "a\0", &"x".repeat(257)] {
            assert_eq!(EventId::parse(bad), Err(InvalidEventId), "{bad:?}");
        }
    }
}
