//! SQLite, through `sqlx`: outbox and inbox beside the tables of a service.
//!
//! There is one writer at a time, so ids are committed in their order, and a plain cursor skips nothing.

mod append;
mod cursor;
mod inbox;
mod leases;
mod migrations;
mod parked;
mod session;
mod statements;
mod transaction;

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Decode, Row, Sqlite, SqlitePool, Type};
use tokio::sync::{Semaphore, watch};

pub use transaction::transaction;

use self::append::AppendSql;
use self::inbox::InboxSql;
use self::parked::ParkedSql;
use self::session::SqliteSession;
use self::statements::SessionSql;
use super::{
    Backlog, InvalidTables, Migration, OutboxSession, OutboxStore, ParkedEvent, RowId, StoreError,
    Tables,
};
use crate::inbox::Inbox;
use crate::outbox::Outbox;

/// Opens a transaction that writes: one that begins by reading may not be let through later.
const WRITE: &str = "BEGIN IMMEDIATE";

/// The tables of Tidings in an SQLite database. Cheap to clone.
///
/// All relays of a database file must run on one machine, whose clock the leases count in. What is
/// stored through another process is found by polling.
#[derive(Clone)]
pub struct SqliteStore(Arc<Inner>);

/// What a service stores its events through.
pub type SqliteOutbox = Outbox<SqliteStore>;

/// What a consumer's handlers run in.
pub type SqliteInbox = Inbox<SqliteStore>;

struct Inner {
    pool: SqlitePool,
    tables: Tables,
    append: AppendSql,
    inbox: InboxSql,
    session: Arc<SessionSql>,
    parked: ParkedSql,
    /// The turn of handlers of this process to write.
    writers: Arc<Semaphore>,
    /// What relays of this process are told: how often rows were stored, how often relays came or went.
    told: watch::Sender<(u64, u64)>,
}

impl SqliteStore {
    /// The tables by their default names.
    pub fn new(pool: SqlitePool) -> Self {
        Self::made(pool, Tables::new())
    }

    /// Tables with another prefix.
    ///
    /// # Errors
    /// When they are in a schema, which SQLite does not have.
    pub fn with_tables(pool: SqlitePool, tables: Tables) -> Result<Self, InvalidTables> {
        match tables.schema_name() {
            Some(schema) => Err(InvalidTables::no_schema(schema)),
            None => Ok(Self::made(pool, tables)),
        }
    }

    fn made(pool: SqlitePool, tables: Tables) -> Self {
        Self(Arc::new(Inner {
            append: AppendSql::new(&tables),
            inbox: InboxSql::new(&tables),
            session: Arc::new(SessionSql::new(&tables)),
            parked: ParkedSql::new(&tables),
            writers: Arc::new(Semaphore::new(1)),
            told: watch::Sender::new((0, 0)),
            pool,
            tables,
        }))
    }

    /// Makes the tables, or brings them up to date. Services that start together may all call it.
    ///
    /// # Errors
    /// When the database cannot be written to.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        migrations::migrate(&self.0.pool, &self.0.tables).await
    }

    /// The statements that [`migrate`](Self::migrate) runs, for teams with a tool of their own.
    pub fn migrations(&self) -> Vec<Migration> {
        migrations::migrations(&self.0.tables)
    }

    /// The pool.
    pub fn pool(&self) -> &SqlitePool {
        &self.0.pool
    }

    fn tell_rows(&self) {
        self.0.told.send_modify(|(rows, _)| *rows += 1);
    }
}

#[async_trait]
impl OutboxStore for SqliteStore {
    async fn begin(&self, relay: &str) -> Result<Box<dyn OutboxSession>, StoreError> {
        let Inner { pool, tables, session, .. } = &*self.0;
        migrations::check(pool, tables).await?;
        Ok(Box::new(SqliteSession::new(self.clone(), session.clone(), relay)))
    }

    async fn backlog(&self) -> Result<Backlog, StoreError> {
        self.0.parked.backlog(&self.0.pool).await
    }

    async fn parked(&self, limit: usize) -> Result<Vec<ParkedEvent>, StoreError> {
        self.0.parked.list(&self.0.pool, limit).await
    }

    async fn release(&self, row: RowId) -> Result<bool, StoreError> {
        let released = self.0.parked.put_back(&self.0.pool, row, true).await;
        self.tell_rows();
        released
    }

    async fn discard(&self, row: RowId) -> Result<bool, StoreError> {
        let discarded = self.0.parked.put_back(&self.0.pool, row, false).await;
        self.tell_rows();
        discarded
    }
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore").field("tables", &self.0.tables).finish_non_exhaustive()
    }
}

/// A statement whose only text from outside is that of [`Tables`], which is checked.
#[derive(Clone)]
struct Sql(Arc<str>);

impl Sql {
    /// `{now}` is the database's time in Unix milliseconds.
    fn new(tables: &Tables, statement: &str) -> Self {
        let now = "CAST(unixepoch('subsec') * 1000 AS INTEGER)";
        Self(tables.fill(&statement.replace("{now}", now)).into())
    }

    fn safe(&self) -> AssertSqlSafe<Arc<str>> {
        AssertSqlSafe(self.0.clone())
    }
}

/// A column of a row.
fn at<'r, T: Decode<'r, Sqlite> + Type<Sqlite>>(
    row: &'r SqliteRow,
    index: usize,
) -> Result<T, sqlx::Error> {
    row.try_get(index)
}

/// Numbers as `json_each` reads them.
fn list(numbers: impl IntoIterator<Item = i64>) -> String {
    let numbers: Vec<_> = numbers.into_iter().map(|number| number.to_string()).collect();
    format!("[{}]", numbers.join(","))
}
