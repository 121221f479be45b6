//! Who works on which shards: leases in the database's time, each under a fencing token.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::{Millis, millis};
use crate::store::{Holding, LeaseOwner, SHARDS, Shard};

/// The leases of all shards, and the relays that live.
#[derive(Debug, Default)]
pub(super) struct Leases {
    of: BTreeMap<Shard, Lease>,
    relays: BTreeMap<String, Millis>,
}

#[derive(Debug, Default)]
struct Lease {
    owner: Option<String>,
    token: u64,
    expires: Millis,
    /// How often parked events of the shard were put back.
    epoch: u64,
}

/// What a relay holds, as it was told last.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) tokens: BTreeMap<Shard, u64>,
    /// By shard: how often parked events had been put back when its parked keys were asked for.
    pub(super) epochs: BTreeMap<Shard, u64>,
    announced: bool,
}

impl Leases {
    /// Renews what a relay holds and takes what is free, up to its fair share; answers whether relays
    /// that did not know of it should.
    pub(super) fn renew(
        &mut self,
        relay: &str,
        held: &mut Held,
        lease: Duration,
        now: Millis,
    ) -> (Holding, bool) {
        self.relays.retain(|other, expires| *expires > now || other == relay);
        let expires = now.saturating_add(millis(lease));
        self.relays.insert(relay.to_owned(), expires);
        let fair = usize::from(SHARDS.unsigned_abs()).div_ceil(self.relays.len());
        let mut lost = Vec::new();
        for (shard, token) in &held.tokens {
            match self.of.get_mut(shard) {
                Some(lease) if lease.token == *token => lease.expires = expires,
                _ => lost.push(*shard),
            }
        }
        for shard in lost {
            held.tokens.remove(&shard);
            held.epochs.remove(&shard);
        }
        let room = fair.saturating_sub(held.tokens.len());
        let mut taken = Vec::new();
        for shard in Shard::all() {
            let lease = self.of.entry(shard).or_default();
            if taken.len() < room && lease.expires <= now {
                lease.owner = Some(relay.to_owned());
                lease.token += 1;
                lease.expires = expires;
                held.tokens.insert(shard, lease.token);
                held.epochs.remove(&shard);
                taken.push(shard);
            }
        }
        let news = !std::mem::replace(&mut held.announced, true);
        (Holding { shards: held.tokens.keys().copied().collect(), taken, fair }, news)
    }

    pub(super) fn give_up(&mut self, held: &mut Held, shards: &[Shard]) {
        for shard in shards {
            held.epochs.remove(shard);
            let Some(token) = held.tokens.remove(shard) else { continue };
            if let Some(lease) = self.of.get_mut(shard)
                && lease.token == token
            {
                lease.owner = None;
                lease.expires = 0;
            }
        }
    }

    pub(super) fn leave(&mut self, relay: &str) {
        self.relays.remove(relay);
    }

    /// Whether nobody else has taken a shard since.
    pub(super) fn holds(&self, held: &Held, shard: Shard) -> bool {
        let token = held.tokens.get(&shard);
        token.is_some() && self.of.get(&shard).map(|lease| &lease.token) == token
    }

    pub(super) fn epoch(&self, shard: Shard) -> u64 {
        self.of.get(&shard).map_or(0, |lease| lease.epoch)
    }

    /// Parked events of a shard were put back: its owner is to know.
    pub(super) fn put_back(&mut self, shard: Shard) {
        self.of.entry(shard).or_default().epoch += 1;
    }

    pub(super) fn owners(&self, now: Millis) -> Vec<LeaseOwner> {
        let mut owners: BTreeMap<&str, (u64, Millis)> = BTreeMap::new();
        for lease in self.of.values() {
            let Some(owner) = &lease.owner else { continue };
            let (shards, expires) = owners.entry(owner).or_insert((0, Millis::MAX));
            *shards += 1;
            *expires = (*expires).min(lease.expires);
        }
        let owner = |(relay, (shards, expires)): (&str, (u64, Millis))| LeaseOwner {
            relay: relay.to_owned(),
            shards,
            expires_in: Duration::from_millis(expires.saturating_sub(now).max(0).unsigned_abs()),
        };
        owners.into_iter().map(owner).collect()
    }
}
