//! Shards: what relays share the work by. All events of a key are in one shard.

use crate::event::EventId;

/// How many shards there are. Stored rows know theirs, so this never changes.
pub const SHARDS: i16 = 64;

/// One of the [`SHARDS`] parts of an outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shard(i16);

impl Shard {
    /// The shard of a number; `None` where there is none of that number.
    pub fn numbered(number: i16) -> Option<Self> {
        (0..SHARDS).contains(&number).then_some(Self(number))
    }

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..SHARDS).map(Self)
    }

    /// Its number, from 0.
    pub fn number(self) -> i16 {
        self.0
    }

    /// Where an event belongs: by topic and key, or anywhere when it has no key.
    pub fn of(topic: &str, key: Option<&[u8]>, id: &EventId) -> Self {
        let hash = match key {
            Some(key) => hash(topic, key),
            None => id.with_str(|id| hash(topic, id.as_bytes())),
        };
        Self((hash % u64::from(SHARDS.unsigned_abs())) as i16)
    }
}

/// FNV-1a (<http://www.isthe.com/chongo/tech/comp/fnv/>), then the finaliser of MurmurHash3, without
/// which keys that differ in their last character alone would lie together. The same in every release.
fn hash(topic: &str, key: &[u8]) -> u64 {
    let bytes = topic.bytes().chain([0]).chain(key.iter().copied());
    let mut hash: u64 = bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_shard_for_ever_and_keys_are_spread() {
        let shard = |key: &str| Shard::of("orders", Some(key.as_bytes()), &EventId::new());
        // Written down: rows that are stored must be found by later releases too.
        assert_eq!([shard("a"), shard("b"), shard("c")].map(Shard::number), [18, 60, 27]);
        let mut rows = [0; SHARDS as usize];
        (0..6_400).for_each(|n| rows[shard(&format!("customer-{n}")).0 as usize] += 1);
        assert!(rows.iter().all(|rows| (50..200).contains(rows)), "{rows:?}");
    }

    #[test]
    fn events_without_a_key_are_spread_too() {
        let shards: std::collections::HashSet<_> =
            (0..1_000).map(|_| Shard::of("orders", None, &EventId::new())).collect();
        assert!(shards.len() > 60, "{}", shards.len());
    }
}
