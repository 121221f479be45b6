//! The port of an inbox: what a consumer needs of the database that its handlers write to.

use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::{StoreError, Transactions};
use crate::transport::TopicPartition;

/// The tables of an inbox beside a service's own: that an event was handled is stored in the
/// transaction that handled it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no inbox",
    note = "`Tx<S>` and `Inbox<S>` are of a store: `Tx<PostgresStore>` (feature `postgres`) or `Tx<SqliteStore>` (feature `sqlite`)"
)]
pub trait InboxTables: Transactions {
    /// Whether the tables are those of this release.
    ///
    /// # Errors
    /// [`StoreError::Version`] when they are not; else when the database is away.
    fn check(&self) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Waits for the turn to open a transaction, where the database has one writer at a time.
    fn turn(&self) -> impl Future<Output = Turn> + Send;

    /// Notes that a handler handles an event; answers `false` when that is noted already. While
    /// another transaction that has noted the same is open, it waits for that one's end.
    ///
    /// A later statement of the transaction that takes longer than `within` is ended by the database,
    /// where it can do that: nobody waits for it any more.
    ///
    /// # Errors
    /// When the database is away or refuses.
    fn claim(
        &self,
        connection: &mut Self::Connection,
        claim: &Claim<'_>,
        within: Duration,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// What has become of the claim that was made on this connection.
    ///
    /// # Errors
    /// When the database is away or refuses.
    fn standing(
        &self,
        connection: &mut Self::Connection,
        claim: &Claim<'_>,
    ) -> impl Future<Output = Result<Standing, StoreError>> + Send;

    /// Forgets events that a group has handled longer than `window` ago in the database's time, at
    /// most `most` of them; answers how many. It waits for nobody's transaction.
    ///
    /// # Errors
    /// When the database is away or refuses.
    fn purge(
        &self,
        group: &str,
        window: Duration,
        most: u32,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Notes the next offset that a group has to read of a partition, unless a higher one is noted.
    ///
    /// # Errors
    /// When the database is away or refuses.
    fn store_offset(
        &self,
        connection: &mut Self::Connection,
        group: &str,
        partition: &TopicPartition,
        next: i64,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The offsets that are noted of a group.
    ///
    /// # Errors
    /// When the database is away or refuses.
    fn offsets(
        &self,
        group: &str,
    ) -> impl Future<Output = Result<Vec<(TopicPartition, i64)>, StoreError>> + Send;
}

/// What an inbox knows an event by that a handler handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim<'a> {
    /// The consumer group.
    pub group: &'a str,
    /// The handler's name.
    pub handler: &'a str,
    /// Who published the event.
    pub source: &'a str,
    /// Its id, unique within its source.
    pub event: &'a str,
}

/// What has become of a claim by the end of its handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is in the transaction, which can be committed.
    Open,
    /// It is not there: the transaction was rolled back, or a statement of it failed.
    Lost,
    /// The handler has committed it, and the transaction is over.
    Committed,
}

/// The turn to write, until it is dropped.
#[derive(Debug, Default)]
pub struct Turn(Option<OwnedSemaphorePermit>);

impl Turn {
    /// Of a database that has many writers at a time.
    pub const fn free() -> Self {
        Self(None)
    }

    /// The only one there is.
    pub const fn of(permit: OwnedSemaphorePermit) -> Self {
        Self(Some(permit))
    }

    /// Whether others have to wait for its end.
    pub const fn is_exclusive(&self) -> bool {
        self.0.is_some()
    }
}
