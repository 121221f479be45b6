//! A record's headers: names and values as bytes, in order, repeated names allowed.

use std::fmt;

/// Headers in wire order. Names and values are bytes: a stranger may have written anything.
///
/// All of them share one buffer, so that reading a record costs two allocations however many it has.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Entry {
    start: u32,
    name: u32,
    /// `NULL` for a header without a value, which is not the same as an empty one.
    value: u32,
}

const NULL: u32 = u32::MAX;

impl Headers {
    /// No headers, with room for some.
    pub fn with_capacity(headers: usize, bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), entries: Vec::with_capacity(headers) }
    }

    /// Adds a header after the others.
    ///
    /// # Panics
    /// When all of them together pass 4 GiB, which no broker takes.
    pub fn push(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.push_raw(name.as_ref(), Some(value.as_ref()));
    }

    /// Adds a header as it came, with or without a value.
    ///
    /// # Panics
    /// When all of them together pass 4 GiB, which no broker takes.
    pub fn push_raw(&mut self, name: &[u8], value: Option<&[u8]>) {
        let entry = Entry {
            start: size(self.bytes.len()),
            name: size(name.len()),
            value: value.map_or(NULL, |value| size(value.len())),
        };
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value.unwrap_or_default());
        self.entries.push(entry);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of all names and values.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> + '_ {
        self.entries.iter().map(|entry| {
            let start = entry.start as usize;
            let value = start + entry.name as usize;
            let value =
                (entry.value != NULL).then(|| &self.bytes[value..value + entry.value as usize]);
            (&self.bytes[start..start + entry.name as usize], value)
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
        let mut kept = Self::with_capacity(self.entries.len() + 12, self.bytes.len() + 256);
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

    #[test]
    fn debug_shows_names_and_no_values() {
        let mut headers = Headers::default();
        headers.push("authorization", "secret");
        assert_eq!(format!("{headers:?}"), r#"["authorization"]"#);
    }
}
