//! The inbox: which events a handler has handled, and where a group stands.

use std::time::Duration;

use sqlx::SqliteConnection;

use super::transaction::has_ended;
use super::{Sql, SqliteStore, at, migrations};
use crate::clock::millis;
use crate::event::TopicName;
use crate::store::{Claim, InboxTables, Standing, StoreError, Tables, Turn};
use crate::transport::TopicPartition;

const CLAIM: &str = "INSERT INTO {inbox} (consumer_group, handler, event_id, source, handled_at) \
     VALUES (?, ?, ?, ?, {now}) ON CONFLICT DO NOTHING";

const STANDING: &str = "SELECT 1 FROM {inbox} \
     WHERE consumer_group = ? AND handler = ? AND event_id = ? AND source = ?";

const PURGE: &str = "DELETE FROM {inbox} WHERE (consumer_group, handler, event_id, source) IN ( \
     SELECT consumer_group, handler, event_id, source FROM {inbox} \
     WHERE consumer_group = ?1 AND handled_at < {now} - ?2 ORDER BY handled_at LIMIT ?3)";

const STORE_OFFSET: &str = "INSERT INTO {inbox_offsets} AS stored (consumer_group, topic, partition, next) \
     VALUES (?, ?, ?, ?) ON CONFLICT (consumer_group, topic, partition) \
     DO UPDATE SET next = excluded.next WHERE stored.next < excluded.next";

const OFFSETS: &str = "SELECT topic, partition, next FROM {inbox_offsets} WHERE consumer_group = ?";

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

impl InboxTables for SqliteStore {
    async fn check(&self) -> Result<(), StoreError> {
        migrations::check(&self.0.pool, &self.0.tables).await
    }

    /// Who waits for the one writer within SQLite sleeps and asks again, and gives up before long;
    /// here they wait in a queue.
    async fn turn(&self) -> Turn {
        let permit = self.0.writers.clone().acquire_owned().await;
        Turn::of(permit.expect("nobody closes the queue"))
    }

    async fn claim(
        &self,
        connection: &mut SqliteConnection,
        claim: &Claim<'_>,
        _within: Duration,
    ) -> Result<bool, StoreError> {
        let query = of(sqlx::query(self.0.inbox.claim.safe()), claim).execute(connection).await;
        let done = query.map_err(StoreError::database("claim an event"))?;
        Ok(done.rows_affected() == 1)
    }

    async fn standing(
        &self,
        connection: &mut SqliteConnection,
        claim: &Claim<'_>,
    ) -> Result<Standing, StoreError> {
        let query = of(sqlx::query(self.0.inbox.standing.safe()), claim);
        let row = query.fetch_optional(&mut *connection).await;
        let row = row.map_err(StoreError::database("look at a claim"))?;
        // What the handler has ended must not be ended once more: the client would take the connection for one
        // that is in a transaction for good.
        match (row, has_ended(connection).await) {
            (None, _) => Ok(Standing::Lost),
            (Some(_), true) => Ok(Standing::Committed),
            (Some(_), false) => Ok(Standing::Open),
        }
    }

    async fn purge(&self, group: &str, window: Duration, most: u32) -> Result<u64, StoreError> {
        let query = sqlx::query(self.0.inbox.purge.safe()).bind(group).bind(millis(window));
        let done = query.bind(i64::from(most)).execute(&self.0.pool).await;
        Ok(done.map_err(StoreError::database("purge the inbox"))?.rows_affected())
    }

    async fn store_offset(
        &self,
        connection: &mut SqliteConnection,
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
        let offset = |row: &sqlx::sqlite::SqliteRow| {
            // A name that no topic can have was not written by this library, and is nobody's.
            let topic = TopicName::new(at::<String>(row, 0)?).ok();
            let (partition, next) = (at(row, 1)?, at(row, 2)?);
            Ok(topic.map(|topic| (TopicPartition { topic, partition }, next)))
        };
        let offsets = rows.iter().filter_map(|row| offset(row).transpose());
        offsets
            .collect::<Result<_, _>>()
            .map_err(StoreError::database("say which offsets are stored"))
    }
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

fn of<'q>(query: Query<'q>, claim: &'q Claim<'_>) -> Query<'q> {
    query.bind(claim.group).bind(claim.handler).bind(claim.event).bind(claim.source)
}
