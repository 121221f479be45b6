//! The inbox: which events a handler has handled, and where a group stands.

use std::time::Duration;

use sqlx::{PgConnection, Row};

use super::{PostgresStore, Sql, migrations};
use crate::clock::millis;
use crate::event::TopicName;
use crate::store::{Claim, InboxTables, Standing, StoreError, Tables, Turn};
use crate::transport::TopicPartition;

/// Two that claim the same at once meet at the primary key: the second waits for the first one's end. What
/// was claimed bounds the statements that follow, unless they are bounded more tightly already.
const CLAIM: &str = "INSERT INTO {inbox} (consumer_group, handler, event_id, source) \
     VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING \
     RETURNING set_config('statement_timeout', least($5::bigint, nullif(\
         extract(epoch FROM current_setting('statement_timeout')::interval) * 1000, 0)::bigint\
     )::text, true)";

/// A row says by which transaction it was stored. Of one that a handler has ended itself the id is another,
/// or none yet.
const STANDING: &str = "SELECT coalesce(xmin = pg_current_xact_id_if_assigned()::xid, false) FROM {inbox} \
     WHERE consumer_group = $1 AND handler = $2 AND event_id = $3 AND source = $4";

const PURGE: &str = "DELETE FROM {inbox} WHERE ctid = ANY (ARRAY( \
     SELECT ctid FROM {inbox} \
     WHERE consumer_group = $1 AND handled_at < now() - $2::bigint * interval '1 millisecond' \
     ORDER BY handled_at LIMIT $3 FOR UPDATE SKIP LOCKED))";

const STORE_OFFSET: &str = "INSERT INTO {inbox_offsets} AS stored (consumer_group, topic, partition, next) \
     VALUES ($1, $2, $3, $4) ON CONFLICT (consumer_group, topic, partition) \
     DO UPDATE SET next = excluded.next WHERE stored.next < excluded.next";

const OFFSETS: &str =
    "SELECT topic, partition, next FROM {inbox_offsets} WHERE consumer_group = $1";

pub(super) struct InboxSql {
    claim: Sql,
    standing: Sql,
    purge: Sql,
    store_offset: Sql,
    offsets: Sql,
}

impl InboxSql {
    pub(super) fn new(tables: &Tables) -> Self {
        let sql = |statement| Sql::new(tables, statement);
        Self {
            claim: sql(CLAIM),
            standing: sql(STANDING),
            purge: sql(PURGE),
            store_offset: sql(STORE_OFFSET),
            offsets: sql(OFFSETS),
        }
    }
}

impl InboxTables for PostgresStore {
    async fn check(&self) -> Result<(), StoreError> {
        migrations::check(&self.0.pool, &self.0.tables).await
    }

    async fn turn(&self) -> Turn {
        Turn::free()
    }

    async fn claim(
        &self,
        connection: &mut PgConnection,
        claim: &Claim<'_>,
        within: Duration,
    ) -> Result<bool, StoreError> {
        let query = of(sqlx::query(self.0.inbox.claim.safe()), claim).bind(milliseconds(within));
        let query = query.execute(connection).await;
        let done = query.map_err(StoreError::database("claim an event"))?;
        Ok(done.rows_affected() == 1)
    }

    async fn standing(
        &self,
        connection: &mut PgConnection,
        claim: &Claim<'_>,
    ) -> Result<Standing, StoreError> {
        let query = of(sqlx::query(self.0.inbox.standing.safe()), claim);
        let row = query.fetch_optional(connection).await;
        match row.and_then(|row| row.map(|row| row.try_get(0)).transpose()) {
            Ok(Some(true)) => Ok(Standing::Open),
            Ok(Some(false)) => Ok(Standing::Committed),
            Ok(None) => Ok(Standing::Lost),
            // A commit would be answered as a success, and be none.
            Err(error) if is_aborted(&error) => Ok(Standing::Lost),
            Err(error) => Err(StoreError::database("look at a claim")(error)),
        }
    }

    async fn purge(&self, group: &str, window: Duration, most: u32) -> Result<u64, StoreError> {
        let query = sqlx::query(self.0.inbox.purge.safe()).bind(group).bind(millis(window));
        let done = query.bind(i64::from(most)).execute(&self.0.pool).await;
        Ok(done.map_err(StoreError::database("purge the inbox"))?.rows_affected())
    }

    async fn store_offset(
        &self,
        connection: &mut PgConnection,
        group: &str,
        partition: &TopicPartition,
        next: i64,
    ) -> Result<(), StoreError> {
        let TopicPartition { topic, partition } = partition;
        let query = sqlx::query(self.0.inbox.store_offset.safe()).bind(group).bind(topic.as_str());
        let stored = query.bind(*partition).bind(next).execute(connection).await;
        stored.map(drop).map_err(StoreError::database("store an offset"))
    }

    async fn offsets(&self, group: &str) -> Result<Vec<(TopicPartition, i64)>, StoreError> {
        let query = sqlx::query(self.0.inbox.offsets.safe()).bind(group);
        let rows = query.fetch_all(&self.0.pool).await;
        let rows = rows.map_err(StoreError::database("say which offsets are stored"))?;
        let offset = |row: &sqlx::postgres::PgRow| {
            // A name that no topic can have was not written by this library, and is nobody's.
            let topic = TopicName::new(row.try_get::<String, _>(0)?).ok();
            let (partition, next) = (row.try_get(1)?, row.try_get(2)?);
            Ok(topic.map(|topic| (TopicPartition { topic, partition }, next)))
        };
        let offsets = rows.iter().filter_map(|row| offset(row).transpose());
        offsets
            .collect::<Result<_, _>>()
            .map_err(StoreError::database("say which offsets are stored"))
    }
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

fn of<'q>(query: Query<'q>, claim: &'q Claim<'_>) -> Query<'q> {
    query.bind(claim.group).bind(claim.handler).bind(claim.event).bind(claim.source)
}

/// What `statement_timeout` can say; zero would be without end.
fn milliseconds(bound: Duration) -> i64 {
    millis(bound).clamp(1, i64::from(i32::MAX))
}

/// `in_failed_sql_transaction`
fn is_aborted(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|answer| answer.code()).is_some_and(|code| code == "25P02")
}
