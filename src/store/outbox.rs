//! The port of an outbox: what a relay needs of the database that events were stored in.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::{Shard, StoreError, Transactions};
use crate::clock::Millis;
use crate::event::{EventId, TopicName};
use crate::transport::Record;

/// Where a row stands in its outbox. Of rows whose transactions excluded each other (both changed the
/// same aggregate), the later one has the higher number.
pub type RowId = i64;

/// Events that were stored with business data and are to be published.
#[async_trait]
pub trait OutboxStore: Send + Sync + 'static {
    /// Begins a relay's work under a name that no other relay has. Nothing is held yet.
    ///
    /// # Errors
    /// When the database is away, or its tables are not those of this release.
    async fn begin(&self, relay: &str) -> Result<Box<dyn OutboxSession>, StoreError>;

    /// What waits, how long, and who works on it.
    ///
    /// # Errors
    /// When the database is away.
    async fn backlog(&self) -> Result<Backlog, StoreError>;

    /// Parked events, oldest first: those that failed, not those that wait behind them.
    ///
    /// # Errors
    /// When the database is away.
    async fn parked(&self, limit: usize) -> Result<Vec<ParkedEvent>, StoreError>;

    /// Puts a parked event, and what waits behind it, back in its place: it is tried again at once.
    /// Answers whether it was parked.
    ///
    /// # Errors
    /// When the database is away.
    async fn release(&self, row: RowId) -> Result<bool, StoreError>;

    /// Gives a parked event up for good; what waits behind it goes on. Answers whether it was parked.
    ///
    /// # Errors
    /// When the database is away.
    async fn discard(&self, row: RowId) -> Result<bool, StoreError>;
}

/// The tables of an outbox beside a service's own: events are stored in its transactions.
pub trait OutboxTables: Transactions {
    /// Stores events in order, with as few statements as it takes, and tells relays of it. With none
    /// it only says whether the transaction can still be committed.
    ///
    /// # Errors
    /// When the database refuses: then the transaction cannot be committed any more.
    fn append(
        &self,
        connection: &mut Self::Connection,
        events: Vec<NewEvent>,
        publish_at: Option<DateTime<Utc>>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// An event that is to be stored.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// Its id.
    pub id: EventId,
    /// Its shard.
    pub shard: Shard,
    /// The record, as it is to be published.
    pub record: Record,
    /// When the event was made, Unix milliseconds: the record's timestamp.
    pub made_at: Millis,
}

/// One relay's work on an outbox. Its calls may run at the same time, save that there is one
/// [`fetch`](Self::fetch) at a time.
///
/// A shard is held under a fencing token. Whoever holds it no longer marks nothing of it.
#[async_trait]
pub trait OutboxSession: Send + Sync + 'static {
    /// Says that this relay lives, keeps what it holds for `lease` more of the database's time, and
    /// takes free shards up to its fair share.
    ///
    /// # Errors
    /// When the database is away: then what was held ends with its lease.
    async fn renew(&self, lease: Duration) -> Result<Holding, StoreError>;

    /// Gives shards up, so that others can take them at once.
    ///
    /// # Errors
    /// When the database is away: then they are free once their lease is over.
    async fn give_up(&self, shards: &[Shard]) -> Result<(), StoreError>;

    /// Says that this relay lives no more, after it gave up what it held.
    ///
    /// # Errors
    /// When the database is away: then the others find out when its lease is over.
    async fn leave(&self) -> Result<(), StoreError>;

    /// The keys of these shards that have a parked event. To be asked when shards were taken and
    /// when [`Fetched::stale`] says so.
    ///
    /// # Errors
    /// When the database is away.
    async fn parked_keys(&self, shards: &[Shard]) -> Result<Vec<OrderKey>, StoreError>;

    /// The oldest rows of these shards that are visible and not among `known`, in order, at most
    /// `limit`. All that is visible of a key and lies before a row that is answered is answered too,
    /// or known.
    ///
    /// # Errors
    /// When the database is away, or a row cannot be read.
    async fn fetch(
        &self,
        shards: &[Shard],
        known: &[RowId],
        limit: usize,
    ) -> Result<Fetched, StoreError>;

    /// Says that these rows are acknowledged: they are deleted, or kept for `keep` where that is not
    /// zero. Of shards that are not held any more nothing is marked; answers those that are.
    ///
    /// # Errors
    /// When the database is away: then they are published again.
    async fn published(
        &self,
        rows: &[(RowId, Shard)],
        keep: Duration,
    ) -> Result<Vec<Shard>, StoreError>;

    /// Sets rows of one key aside: one that failed, with its reason, or those behind it, or both.
    /// Answers whether it was done: not where the shard is not held any more, or a parked key was
    /// released meanwhile.
    ///
    /// # Errors
    /// When the database is away.
    async fn park(
        &self,
        shard: Shard,
        failed: Option<(RowId, &str)>,
        behind: &[RowId],
    ) -> Result<bool, StoreError>;

    /// Gives delayed rows of these shards whose time has come their place behind what is there, at most
    /// `limit`, those that were due first.
    ///
    /// # Errors
    /// When the database is away.
    async fn due(&self, shards: &[Shard], limit: usize) -> Result<(), StoreError>;

    /// Forgets published rows that were kept for as long as they were to be, at most `limit`; answers
    /// how many.
    ///
    /// # Errors
    /// When the database is away.
    async fn tidy(&self, limit: usize) -> Result<usize, StoreError>;

    /// Waits until there may be something to do. It may miss some: look now and then.
    async fn hint(&self) -> Hint;
}

/// What a relay holds after it asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// The shards that it holds.
    pub shards: Vec<Shard>,
    /// Those of them that it holds since just now.
    pub taken: Vec<Shard>,
    /// How many it should hold at most, beside the relays that live.
    pub fair: usize,
}

/// A row that is to be published.
#[derive(Debug, Clone)]
pub struct OutboxRow {
    /// Its place.
    pub row: RowId,
    /// Its shard.
    pub shard: Shard,
    /// The event's id.
    pub id: EventId,
    /// The record, byte for byte as it was stored. Boxed, since a row is handed on often.
    pub record: Box<Record>,
}

/// What a fetch brought.
#[derive(Debug, Default)]
pub struct Fetched {
    /// In order.
    pub rows: Vec<OutboxRow>,
    /// Parked keys were released, or shards are new: ask [`OutboxSession::parked_keys`] and fetch
    /// again. No row was brought.
    pub stale: bool,
    /// When the next delayed row of these shards is due.
    pub due_in: Option<Duration>,
}

/// What is kept in order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OrderKey {
    /// The topic.
    pub topic: TopicName,
    /// The record key.
    pub key: Bytes,
}

/// Why a relay might have something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    /// Rows were stored.
    Rows,
    /// Relays came or went.
    Leases,
}

/// An event that cannot be published until somebody does something about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedEvent {
    /// Its place, by which it is released or discarded.
    pub row: RowId,
    /// The event's id.
    pub id: EventId,
    /// Where it was to go.
    pub topic: String,
    /// Its record key, where it has one.
    pub key: Option<Bytes>,
    /// Why it was parked.
    pub reason: String,
    /// When, in the database's time.
    pub parked_at: DateTime<Utc>,
    /// How many events of its key wait behind it, as far as they have been looked at.
    pub behind: u64,
}

/// What waits in an outbox.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Rows that are not acknowledged yet, without parked and delayed ones.
    pub rows: u64,
    /// For how long the oldest of them has been stored, in the database's time.
    pub oldest: Option<Duration>,
    /// Rows that are to be published later.
    pub delayed: u64,
    /// Events that are parked.
    pub parked: u64,
    /// Events that wait behind a parked one.
    pub behind_parked: u64,
    /// Who holds how many shards.
    pub owners: Vec<LeaseOwner>,
}

/// A relay that holds shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseOwner {
    /// Its name.
    pub relay: String,
    /// How many.
    pub shards: u64,
    /// How long the first of its leases still runs, in the database's time; zero when it is over.
    pub expires_in: Duration,
}
