//! What a database holds.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::fault::{DatabaseFault, Faults};
use super::leases::Leases;
use crate::clock::Millis;
use crate::event::EventId;
use crate::store::{Backlog, NewEvent, RowId, Shard};
use crate::transport::{Record, TopicPartition};

/// A transaction's number.
pub(super) type TxId = u64;

pub(super) struct State {
    pub(super) rng: fastrand::Rng,
    pub(super) faults: Faults,
    /// The service's own.
    pub(super) rows: BTreeMap<String, String>,
    /// The last number that an outbox row took.
    pub(super) last: RowId,
    pub(super) outbox: BTreeMap<RowId, Row>,
    pub(super) parked: BTreeMap<RowId, Parked>,
    pub(super) kept: Vec<Millis>,
    pub(super) leases: Leases,
    /// What handlers have handled, and when.
    pub(super) inbox: BTreeMap<Claimed, Millis>,
    pub(super) offsets: BTreeMap<(String, TopicPartition), i64>,
    /// How often rows were stored, and how often relays came or went, as relays are told.
    pub(super) told: (u64, u64),
    transactions: TxId,
    /// Who holds what until it ends.
    pub(super) held: BTreeMap<String, TxId>,
    /// Those that are open.
    pub(super) open: BTreeMap<TxId, ()>,
}

/// A row of the outbox.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) shard: Shard,
    pub(super) id: EventId,
    pub(super) record: Record,
    pub(super) appended: Millis,
    pub(super) publish_at: Option<Millis>,
}

/// A row that is set aside: one that failed, with its reason, or one behind it.
#[derive(Debug)]
pub(super) struct Parked {
    pub(super) row: Row,
    pub(super) reason: Option<String>,
    pub(super) at: Millis,
}

/// What an inbox knows an event by that a handler handled.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Claimed {
    /// The consumer group.
    pub group: String,
    /// The handler.
    pub handler: String,
    /// Who published the event.
    pub source: String,
    /// Its id.
    pub event: String,
}

/// An event in an outbox.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Stored {
    /// Its number, taken when it was stored.
    pub row: RowId,
    /// As it is to be published.
    pub record: Record,
    /// When; `None` is at once.
    pub publish_at: Option<Millis>,
}

/// A transaction that has ended.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Ended {
    /// Whether it was committed, or taken back.
    pub committed: bool,
    /// Events that it stored.
    pub events: Vec<Stored>,
    /// Events that it claimed for handlers.
    pub claims: Vec<Claimed>,
    /// Effects that are to happen once.
    pub effects: Vec<String>,
    /// What it held, so that no other transaction ran beside it that did.
    pub held: Vec<String>,
}

impl State {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rng: fastrand::Rng::with_seed(seed),
            faults: Faults::default(),
            rows: BTreeMap::new(),
            last: 0,
            outbox: BTreeMap::new(),
            parked: BTreeMap::new(),
            kept: Vec::new(),
            leases: Leases::default(),
            inbox: BTreeMap::new(),
            offsets: BTreeMap::new(),
            told: (0, 0),
            transactions: 0,
            held: BTreeMap::new(),
            open: BTreeMap::new(),
        }
    }

    pub(super) fn begin(&mut self) -> TxId {
        self.transactions += 1;
        self.open.insert(self.transactions, ());
        self.transactions
    }

    /// Lets go what a transaction holds; answers whether it was open.
    pub(super) fn end(&mut self, transaction: TxId) -> bool {
        self.held.retain(|_, holder| *holder != transaction);
        self.open.remove(&transaction).is_some()
    }

    pub(super) fn happen(&mut self, fault: DatabaseFault, now: Instant) {
        if let DatabaseFault::Away(_) = fault {
            self.open.clear();
            self.held.clear();
        }
        self.faults.add(fault, now);
    }

    pub(super) fn next_row(&mut self) -> RowId {
        self.last += 1;
        self.last
    }

    pub(super) fn backlog(&self, now: Millis) -> Backlog {
        let ready = || self.outbox.values().filter(|row| row.publish_at.is_none());
        let parked =
            |failed| self.parked.values().filter(move |row| row.reason.is_some() == failed);
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let since = |row: &Row| now.saturating_sub(row.appended).max(0).unsigned_abs();
        Backlog {
            rows: count(ready().count()),
            oldest: ready().next().map(|row| std::time::Duration::from_millis(since(row))),
            delayed: count(self.outbox.len() - ready().count()),
            parked: count(parked(true).count()),
            behind_parked: count(parked(false).count()),
            owners: self.leases.owners(now),
        }
    }
}

impl Row {
    pub(super) fn new(event: NewEvent, appended: Millis, publish_at: Option<Millis>) -> Self {
        let NewEvent { id, shard, mut record, made_at } = event;
        record.timestamp = Some(made_at);
        Self { shard, id, record, appended, publish_at }
    }

    pub(super) fn told(&self, row: RowId) -> Stored {
        Stored { row, record: self.record.clone(), publish_at: self.publish_at }
    }
}
