//! What a view holds: the last value of each key, and what all of it takes.

use std::collections::HashMap;
use std::sync::Arc;

use super::key::StateKey;
use crate::clock::Millis;

/// What an entry takes beside its key, its value and what the value owns: the slot and its share of
/// what is free, counters of references, the allocator's rounding.
const OVERHEAD: usize = 160;

/// Entries by key. `None` as a value: nothing of the key could be read yet, or it was removed.
pub(super) struct Table<V> {
    entries: HashMap<StateKey, Entry<V>>,
    bytes: usize,
    values: usize,
    unreadable: usize,
    limit: usize,
    /// A removed key stays as an entry without a value, for an older record of it may come yet.
    keeps_tombstones: bool,
}

struct Entry<V> {
    value: Option<Arc<V>>,
    bytes: usize,
    origin: Origin,
    unreadable: bool,
}

/// Where a record comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    pub(super) partition: i32,
    pub(super) made: Option<Millis>,
}

/// It would take more than is allowed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

impl<V> Table<V> {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            entries: HashMap::new(),
            bytes: 0,
            values: 0,
            unreadable: 0,
            limit,
            keeps_tombstones: false,
        }
    }

    /// Until [`forget_tombstones`](Self::forget_tombstones) it is known which keys were removed, and that counts
    /// as memory.
    pub(super) fn keep_tombstones(&mut self) {
        self.keeps_tombstones = true;
    }

    pub(super) fn forget_tombstones(&mut self) {
        self.keeps_tombstones = false;
        let bytes = &mut self.bytes;
        self.entries.retain(|_, entry| {
            let stays = entry.value.is_some() || entry.unreadable;
            *bytes -= if stays { 0 } else { entry.bytes };
            stays
        });
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<Arc<V>> {
        self.entries.get(key)?.value.clone()
    }

    /// Sets a key's value, whose payload took so many bytes. `None` where a newer record of the key
    /// lies in another partition.
    pub(super) fn put(
        &mut self,
        key: &[u8],
        value: V,
        payload: usize,
        origin: Origin,
    ) -> Result<Option<(StateKey, Arc<V>)>, Full> {
        if self.is_outdone(key, origin) {
            return Ok(None);
        }
        let value = Arc::new(value);
        let key = self.set(key, Some(value.clone()), payload, origin, false)?;
        Ok(Some((key, value)))
    }

    /// Notes that the last record of a key could not be read.
    pub(super) fn put_unreadable(&mut self, key: &[u8], origin: Origin) -> Result<(), Full> {
        if self.is_outdone(key, origin) {
            return Ok(());
        }
        let (value, payload) = self.entries.get(key).map_or((None, 0), |entry| {
            let fixed = Self::cost(key, 0);
            (entry.value.clone(), entry.bytes.saturating_sub(fixed))
        });
        self.set(key, value, payload, origin, true).map(drop)
    }

    /// Removes a key; answers it where it had a value.
    pub(super) fn remove(&mut self, key: &[u8], origin: Origin) -> Result<Option<StateKey>, Full> {
        if self.is_outdone(key, origin) {
            return Ok(None);
        }
        if self.keeps_tombstones {
            let had_value = self.get(key).is_some();
            return Ok(Some(self.set(key, None, 0, origin, false)?).filter(|_| had_value));
        }
        let Some((key, entry)) = self.entries.remove_entry(key) else { return Ok(None) };
        self.forget(&entry);
        Ok(entry.value.map(|_| key))
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new(self.limit);
    }

    /// How many keys have a value.
    pub(super) fn len(&self) -> usize {
        self.values
    }

    /// What all of it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keys whose last record could not be read.
    pub(super) fn unreadable(&self) -> usize {
        self.unreadable
    }

    pub(super) fn unreadable_keys(&self) -> Vec<StateKey> {
        let unreadable = self.entries.iter().filter(|(_, entry)| entry.unreadable);
        unreadable.map(|(key, _)| key.clone()).collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&StateKey, &Arc<V>)> {
        self.entries.iter().filter_map(|(key, entry)| Some((key, entry.value.as_ref()?)))
    }

    fn set(
        &mut self,
        key: &[u8],
        value: Option<Arc<V>>,
        payload: usize,
        origin: Origin,
        unreadable: bool,
    ) -> Result<StateKey, Full> {
        let bytes = Self::cost(key, payload);
        let before = self.entries.get_key_value(key);
        let held = before.map_or(0, |(_, entry)| entry.bytes);
        if (self.bytes - held).saturating_add(bytes) > self.limit {
            return Err(Full);
        }
        let key = before.map_or_else(|| StateKey::new(key), |(key, _)| key.clone());
        self.bytes += bytes;
        self.values += usize::from(value.is_some());
        self.unreadable += usize::from(unreadable);
        let entry = Entry { value, bytes, origin, unreadable };
        if let Some(before) = self.entries.insert(key.clone(), entry) {
            self.forget(&before);
        }
        Ok(key)
    }

    fn forget(&mut self, entry: &Entry<V>) {
        self.bytes -= entry.bytes;
        self.values -= usize::from(entry.value.is_some());
        self.unreadable -= usize::from(entry.unreadable);
    }

    /// Whether a newer record of the key is known from another partition: a topic that was given more
    /// partitions keeps old records of a key where the key went before.
    fn is_outdone(&self, key: &[u8], by: Origin) -> bool {
        self.entries.get(key).is_some_and(|entry| {
            entry.origin.partition != by.partition && entry.origin.made > by.made
        })
    }

    fn cost(key: &[u8], payload: usize) -> usize {
        OVERHEAD + size_of::<V>() + key.len() + payload
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(partition: i32, made: Millis) -> Origin {
        Origin { partition, made: Some(made) }
    }

    fn put(table: &mut Table<u8>, key: &str, value: u8) {
        table.put(key.as_bytes(), value, 10, at(0, 0)).unwrap().unwrap();
    }

    fn removed(table: &mut Table<u8>, key: &str, origin: Origin) -> Option<String> {
        table.remove(key.as_bytes(), origin).unwrap().map(|key| key.to_string())
    }

    #[test]
    fn what_is_put_again_or_removed_gives_its_memory_back() {
        let mut table = Table::new(10_000);
        put(&mut table, "a", 1);
        let one = table.bytes();
        put(&mut table, "a", 2);
        assert_eq!((table.bytes(), table.len(), table.get(b"a").as_deref()), (one, 1, Some(&2)));
        put(&mut table, "", 3);
        assert_eq!((table.bytes(), table.len()), (2 * one - 1, 2));
        assert_eq!(removed(&mut table, "a", at(0, 0)), Some("a".into()));
        assert_eq!(
            removed(&mut table, "a", at(0, 0)),
            None,
            "a tombstone of a key that is not there"
        );
        assert_eq!(removed(&mut table, "", at(0, 0)), Some(String::new()));
        assert_eq!((table.bytes(), table.len()), (0, 0));
    }

    #[test]
    fn what_would_take_too_much_is_refused_and_nothing_is_changed() {
        let mut table = Table::new(400);
        put(&mut table, "a", 1);
        put(&mut table, "b", 2);
        let full = table.bytes();
        assert_eq!(table.put(b"c", 3, 10, at(0, 0)).err(), Some(Full));
        assert_eq!(table.put(b"a", 3, 300, at(0, 0)).err(), Some(Full));
        assert_eq!(table.put_unreadable(b"c", at(0, 0)), Err(Full));
        assert_eq!((table.bytes(), table.len(), table.get(b"a").as_deref()), (full, 2, Some(&1)));
        put(&mut table, "a", 3);
    }

    #[test]
    fn a_key_keeps_its_last_readable_value_and_is_known_as_unreadable() {
        let mut table = Table::new(10_000);
        put(&mut table, "a", 1);
        let one = table.bytes();
        table.put_unreadable(b"a", at(0, 0)).unwrap();
        table.put_unreadable(b"a", at(0, 0)).unwrap();
        assert_eq!((table.bytes(), table.unreadable(), table.len()), (one, 1, 1));
        assert_eq!(table.get(b"a").as_deref(), Some(&1));
        table.put_unreadable(b"b", at(0, 0)).unwrap();
        assert_eq!((table.len(), table.unreadable(), table.get(b"b")), (1, 2, None));
        assert_eq!(table.iter().count(), 1);
        assert_eq!(removed(&mut table, "b", at(0, 0)), None, "it had no value");
        put(&mut table, "a", 2);
        assert_eq!((table.bytes(), table.unreadable(), table.unreadable_keys()), (one, 0, vec![]));
    }

    #[test]
    fn an_older_record_of_a_key_in_another_partition_does_not_win() {
        let mut table = Table::new(10_000);
        table.put(b"a", 2, 10, at(3, 200)).unwrap().unwrap();
        assert!(table.put(b"a", 1, 10, at(0, 100)).unwrap().is_none());
        assert_eq!(removed(&mut table, "a", at(0, 150)), None);
        assert_eq!(table.get(b"a").as_deref(), Some(&2));
        table.put(b"a", 3, 10, at(3, 100)).unwrap().unwrap();
        assert_eq!(table.get(b"a").as_deref(), Some(&3), "in one partition the last one wins");
        assert_eq!(removed(&mut table, "a", at(0, 300)), Some("a".into()));
    }

    #[test]
    fn an_older_record_in_another_partition_brings_no_removed_key_back_while_tombstones_are_kept() {
        let mut table = Table::new(700);
        table.keep_tombstones();
        put(&mut table, "b", 2);
        let one = table.bytes();
        assert_eq!(removed(&mut table, "a", at(3, 200)), None);
        assert!(table.put(b"a", 1, 10, at(0, 100)).unwrap().is_none());
        assert_eq!((table.len(), table.get(b"a"), table.iter().count()), (1, None, 1));
        assert_eq!(removed(&mut table, "b", at(0, 300)), Some("b".into()));
        assert_eq!(removed(&mut table, "b", at(0, 300)), None, "once");
        assert!(table.bytes() > one, "what is kept counts");
        table.put(b"a", 3, 10, at(0, 300)).unwrap().unwrap();
        for key in ["c", "d"] {
            let _ = table.remove(key.as_bytes(), at(0, 0));
        }
        assert_eq!(table.remove(b"e", at(0, 0)), Err(Full), "no more than is allowed");
        table.forget_tombstones();
        assert_eq!((table.bytes(), table.len(), table.get(b"a").as_deref()), (one, 1, Some(&3)));
        assert_eq!(removed(&mut table, "a", at(0, 400)), Some("a".into()));
        assert_eq!(table.bytes(), 0);
    }
}
