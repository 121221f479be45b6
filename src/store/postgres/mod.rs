//! PostgreSQL, through `sqlx`: outbox and inbox beside the tables of a service.
//!
//! Rows are read in the order of their ids by one owner for each shard. What makes that safe while
//! transactions commit in another order than they took their ids is in `cursor.rs`.

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
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Executor, PgPool};

pub use transaction::transaction;

use self::append::AppendSql;
use self::inbox::InboxSql;
use self::parked::ParkedSql;
use self::session::PostgresSession;
use self::statements::SessionSql;
use super::{
    Backlog, Migration, OutboxSession, OutboxStore, ParkedEvent, RowId, StoreError, Tables,
};
use crate::inbox::Inbox;
use crate::outbox::Outbox;

/// The tables of Tidings in a PostgreSQL database (13 or later). Cheap to clone.
///
/// The pool is the service's own. A relay opens connections of its own beside it, up to
/// [`RELAY_CONNECTIONS`], with the same settings.
#[derive(Clone)]
pub struct PostgresStore(Arc<Inner>);

/// How many connections one relay opens at most: to read, to mark, to renew its leases, to listen.
pub const RELAY_CONNECTIONS: u32 = 4;

/// Begins a transaction of which each statement sees what others have committed before it, whatever the
/// database's default is.
const READ_COMMITTED: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// What a service stores its events through.
pub type PostgresOutbox = Outbox<PostgresStore>;

/// What a consumer's handlers run in.
pub type PostgresInbox = Inbox<PostgresStore>;

struct Inner {
    pool: PgPool,
    tables: Tables,
    channel: String,
    append: AppendSql,
    inbox: InboxSql,
    session: Arc<SessionSql>,
    parked: ParkedSql,
}

impl PostgresStore {
    /// The tables by their default names.
    pub fn new(pool: PgPool) -> Self {
        Self::with_tables(pool, Tables::new())
    }

    /// Tables in another schema, or with another prefix.
    pub fn with_tables(pool: PgPool, tables: Tables) -> Self {
        // What is listened on is cut at 63 bytes; the longest names are 65 together.
        let channel: String = format!("tidings.{tables}").chars().take(63).collect();
        Self(Arc::new(Inner {
            append: AppendSql::new(&tables),
            inbox: InboxSql::new(&tables),
            session: Arc::new(SessionSql::new(&tables)),
            parked: ParkedSql::new(&tables),
            channel,
            pool,
            tables,
        }))
    }

    /// Makes the tables, or brings them up to date. Services that start together may all call it:
    /// one at a time does the work, under an advisory lock.
    ///
    /// # Errors
    /// When the database is away, or the role may not make tables.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        migrations::migrate(&self.0.pool, &self.0.tables).await
    }

    /// The statements that [`migrate`](Self::migrate) runs, for teams with a tool of their own.
    pub fn migrations(&self) -> Vec<Migration> {
        migrations::migrations(&self.0.tables)
    }

    /// The pool.
    pub fn pool(&self) -> &PgPool {
        &self.0.pool
    }

    /// A pool of a relay's own. Its statements read by index whatever the planner thinks of a table
    /// that was empty when it looked last, and full a second later.
    fn relay_pool(&self, relay: &str) -> PgPool {
        let options: PgConnectOptions = (*self.0.pool.connect_options()).clone();
        // Under its own name, so that whoever looks at connections knows whose they are.
        let options = options.application_name(relay);
        PgPoolOptions::new()
            .max_connections(RELAY_CONNECTIONS)
            .after_connect(|connection, _| {
                Box::pin(async move {
                    let settings = "SET enable_seqscan = off; SET enable_bitmapscan = off; \
                                    SET enable_sort = off; SET jit = off; \
                                    SET default_transaction_isolation = 'read committed'";
                    connection.execute(settings).await.map(drop)
                })
            })
            .connect_lazy_with(options)
    }
}

#[async_trait]
impl OutboxStore for PostgresStore {
    async fn begin(&self, relay: &str) -> Result<Box<dyn OutboxSession>, StoreError> {
        let Inner { pool, tables, session, channel, .. } = &*self.0;
        migrations::check(pool, tables).await?;
        let session = PostgresSession::new(self.relay_pool(relay), session.clone(), relay, channel);
        Ok(Box::new(session))
    }

    async fn backlog(&self) -> Result<Backlog, StoreError> {
        self.0.parked.backlog(&self.0.pool).await
    }

    async fn parked(&self, limit: usize) -> Result<Vec<ParkedEvent>, StoreError> {
        self.0.parked.list(&self.0.pool, limit).await
    }

    async fn release(&self, row: RowId) -> Result<bool, StoreError> {
        self.0.parked.put_back(&self.0.pool, &self.0.channel, row, true).await
    }

    async fn discard(&self, row: RowId) -> Result<bool, StoreError> {
        self.0.parked.put_back(&self.0.pool, &self.0.channel, row, false).await
    }
}

impl std::fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresStore").field("tables", &self.0.tables).finish_non_exhaustive()
    }
}

/// A statement whose only text from outside is that of [`Tables`], which is checked.
#[derive(Clone)]
struct Sql(Arc<str>);

impl Sql {
    fn new(tables: &Tables, statement: &str) -> Self {
        Self(tables.fill(statement).into())
    }

    fn safe(&self) -> AssertSqlSafe<Arc<str>> {
        AssertSqlSafe(self.0.clone())
    }
}
