//! A record's headers: names and values as bytes, in order, repeated names allowed.

use std::fmt;

use bytes::BytesMut;

/// Headers in wire order. Names and values are bytes: a stranger may have written anything.
///
/// All of them share one buffer, and those of many records may share one allocation.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers {
    /// Of each header the lengths of name and value, little endian, then name and value.
    buffer: BytesMut,
    len: usize,
}

/// The two lengths before a header.
const LENGTHS: usize = 8;
/// The length of a value that is not there, which is not the same as an empty one.
const NULL: u32 = u32::MAX;

impl Headers {
    /// No headers, with room for some.
    pub fn with_capacity(headers: usize, bytes: usize) -> Self {
        Self { buffer: BytesMut::with_capacity(headers * LENGTHS + bytes), len: 0 }
    }

    /// Headers that `fill` adds, in the room of `buffer`, which is empty; what they do not need stays there.
    #[cfg(feature = "kafka")]
    pub(crate) fn within(buffer: &mut BytesMut, fill: impl FnOnce(&mut Self)) -> Self {
        let mut headers = Self { buffer: std::mem::take(buffer), len: 0 };
        fill(&mut headers);
        let filled = headers.buffer.split();
        *buffer = std::mem::replace(&mut headers.buffer, filled);
        headers
    }

    /// Takes all of them away; the room stays.
    pub(crate) fn clear(&mut self) {
        self.buffer.clear();
        self.len = 0;
    }

    /// Makes room for more of them.
    pub(crate) fn reserve(&mut self, headers: usize, bytes: usize) {
        self.buffer.reserve(headers * LENGTHS + bytes);
    }

    /// Adds a header after the others.
    ///
    /// # Panics
    /// When its name or value passes 4 GiB, which no broker takes.
    pub fn push(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.push_raw(name.as_ref(), Some(value.as_ref()));
    }

    /// Adds a header as it came, with or without a value.
    ///
    /// # Panics
    /// When its name or value passes 4 GiB, which no broker takes.
    pub fn push_raw(&mut self, name: &[u8], value: Option<&[u8]>) {
        let bytes = value.unwrap_or_default();
        self.buffer.reserve(LENGTHS + name.len() + bytes.len());
        let mut lengths = [0; LENGTHS];
        lengths[..4].copy_from_slice(&size(name.len()).to_le_bytes());
        let value = value.map_or(NULL, |value| size(value.len()));
        lengths[4..].copy_from_slice(&value.to_le_bytes());
        self.buffer.extend_from_slice(&lengths);
        self.buffer.extend_from_slice(name);
        self.buffer.extend_from_slice(bytes);
        self.len += 1;
    }

    /// All of them as bytes that can be stored; [`from_bytes`](Self::from_bytes) reads them back.
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// Headers as they were stored; `None` where the bytes are no headers.
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(crate) fn from_bytes(buffer: BytesMut) -> Option<Self> {
        let (mut rest, mut len) = (&*buffer, 0);
        while !rest.is_empty() {
            let (name, after) = rest.split_first_chunk()?;
            let (value, after) = after.split_first_chunk()?;
            let value = match u32::from_le_bytes(*value) {
                NULL => 0,
                value => value,
            };
            let bytes = (u32::from_le_bytes(*name) as usize).checked_add(value as usize)?;
            rest = after.get(bytes..)?;
            len += 1;
        }
        Some(Self { buffer, len })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of all names and values.
    pub fn size(&self) -> usize {
        self.buffer.len() - self.len * LENGTHS
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> + '_ {
        let mut rest = &*self.buffer;
        std::iter::from_fn(move || {
            let (name_len, after) = rest.split_first_chunk()?;
            let (value_len, after) = after.split_first_chunk()?;
            let value_len = u32::from_le_bytes(*value_len);
            let (name, after) = after.split_at(u32::from_le_bytes(*name_len) as usize);
            let (value, after) = match value_len {
                NULL => (None, after),
                len => {
                    let (value, after) = after.split_at(len as usize);
                    (Some(value), after)
                }
            };
            rest = after;
            Some((name, value))
        })
    }

    /// The value of the last header of that name (a later one wins).
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.iter().filter(|(n, _)| *n == name.as_bytes()).last().and_then(|(_, value)| value)
    }

    /// The same as [`get`](Self::get), as text; `None` also where it is not UTF-8.
    pub fn get_str(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The headers whose name `keep` accepts, in the same order.
    #[must_use]
    pub fn filtered(&self, mut keep: impl FnMut(&[u8]) -> bool) -> Self {
        let mut kept = Self::with_capacity(self.len + 12, self.size() + 256);
        for (name, value) in self.iter().filter(|(name, _)| keep(name)) {
            kept.push_raw(name, value);
        }
        kept
    }
}

fn size(len: usize) -> u32 {
    u32::try_from(len).ok().filter(|len| *len != NULL).expect("headers under 4 GiB")
}

impl fmt::Debug for Headers {
    /// Names only: a value may be a secret of the user's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_keep_order_repeats_nulls_and_raw_bytes() {
        let mut headers = Headers::default();
        headers.push("a", "1");
        headers.push_raw(b"\xff\0", Some(b"\xfe"));
        headers.push_raw(b"", None);
        headers.push("a", "");
        let all: Vec<_> = headers.iter().collect();
        assert_eq!(
            all,
            [
                (&b"a"[..], Some(&b"1"[..])),
                (b"\xff\0", Some(b"\xfe")),
                (b"", None),
                (b"a", Some(b"")),
            ]
        );
        assert_eq!(headers.get("a"), Some(&b""[..]), "the last one wins");
        assert_eq!(headers.get("b"), None);
    }

    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    #[test]
    fn headers_are_read_back_as_they_were_stored_and_nothing_else_is() {
        let mut headers = Headers::default();
        headers.push("a", "1");
        headers.push_raw(b"\xff\0", None);
        let read = |bytes: &[u8]| Headers::from_bytes(bytes.into());
        assert_eq!(read(headers.as_bytes()), Some(headers.clone()));
        assert_eq!(read(b""), Some(Headers::default()));
        let bytes = headers.as_bytes();
        for end in [1, 4, 9, bytes.len() - 1] {
            assert_eq!(read(&bytes[..end]), None, "cut at {end}");
        }
        assert_eq!(read(&[0xfe; 16]), None, "lengths that are not there");
    }

    #[test]
    fn debug_shows_names_and_no_values() {
        let mut headers = Headers::default();
        headers.push("authorization", "secret");
        assert_eq!(format!("{headers:?}"), r#"["authorization"]"#);
    }
}
