//! What waits, and what is done about parked events: for people and consoles, not for relays.

use std::time::Duration;

use bytes::Bytes;
use chrono::DateTime;
use sqlx::{PgPool, Row};

use super::{READ_COMMITTED, Sql};
use crate::event::EventId;
use crate::store::{Backlog, LeaseOwner, ParkedEvent, RowId, StoreError, Tables};

/// The oldest is the first by id, so that it is found without a look at all.
const BACKLOG: &str = "SELECT \
     (SELECT count(*) FROM {outbox} WHERE publish_at IS NULL), \
     (SELECT (extract(epoch FROM clock_timestamp() - appended_at) * 1e6)::bigint \
      FROM {outbox} WHERE publish_at IS NULL ORDER BY id LIMIT 1), \
     (SELECT count(*) FROM {outbox} WHERE publish_at IS NOT NULL), \
     (SELECT count(*) FROM {outbox_parked} WHERE reason IS NOT NULL), \
     (SELECT count(*) FROM {outbox_parked} WHERE reason IS NULL)";

const OWNERS: &str = "SELECT owner, count(*), \
     (greatest(0, extract(epoch FROM min(expires_at) - clock_timestamp())) * 1e6)::bigint \
     FROM {outbox_leases} WHERE owner IS NOT NULL GROUP BY owner ORDER BY owner";

const LIST: &str = "SELECT p.id, p.event_id, p.topic, p.key, p.reason, \
     (extract(epoch FROM p.parked_at) * 1e6)::bigint, \
     (SELECT count(*) FROM {outbox_parked} b \
      WHERE b.shard = p.shard AND b.topic = p.topic AND b.key = p.key AND b.reason IS NULL) \
     FROM {outbox_parked} p WHERE p.reason IS NOT NULL ORDER BY p.id LIMIT $1";

/// Locks the shard's lease, so that nothing of it is parked meanwhile, and tells its owner.
const EPOCH: &str = "UPDATE {outbox_leases} SET epoch = epoch + 1 \
     WHERE shard = (SELECT shard FROM {outbox_parked} WHERE id = $1 AND reason IS NOT NULL)";

const PUT_BACK: &str = "WITH head AS (SELECT shard, topic, key FROM {outbox_parked} WHERE id = $1), \
     back AS (DELETE FROM {outbox_parked} p USING head h \
         WHERE p.id = $1 \
            OR (p.shard = h.shard AND p.topic = h.topic AND p.key = h.key AND p.reason IS NULL) \
         RETURNING p.*), \
     stored AS (INSERT INTO {outbox} \
         (id, shard, event_id, topic, key, headers, payload, made_at, appended_at) \
         SELECT id, shard, event_id, topic, key, headers, payload, made_at, appended_at FROM back \
         WHERE $2 OR id <> $1) \
     SELECT pg_notify($3, ''), (SELECT count(*) FROM back)";

pub(super) struct ParkedSql {
    backlog: Sql,
    owners: Sql,
    list: Sql,
    epoch: Sql,
    put_back: Sql,
}

impl ParkedSql {
    pub(super) fn new(tables: &Tables) -> Self {
        let sql = |statement| Sql::new(tables, statement);
        Self {
            backlog: sql(BACKLOG),
            owners: sql(OWNERS),
            list: sql(LIST),
            epoch: sql(EPOCH),
            put_back: sql(PUT_BACK),
        }
    }

    pub(super) async fn backlog(&self, pool: &PgPool) -> Result<Backlog, StoreError> {
        let asked = async {
            let row = sqlx::query(self.backlog.safe()).fetch_one(pool).await?;
            let mut owners = Vec::new();
            for row in sqlx::query(self.owners.safe()).fetch_all(pool).await? {
                owners.push(LeaseOwner {
                    relay: row.try_get(0)?,
                    shards: row.try_get::<i64, _>(1)?.unsigned_abs(),
                    expires_in: micros(row.try_get(2)?),
                });
            }
            Ok::<_, sqlx::Error>(Backlog {
                rows: row.try_get::<i64, _>(0)?.unsigned_abs(),
                oldest: row.try_get::<Option<i64>, _>(1)?.map(micros),
                delayed: row.try_get::<i64, _>(2)?.unsigned_abs(),
                parked: row.try_get::<i64, _>(3)?.unsigned_abs(),
                behind_parked: row.try_get::<i64, _>(4)?.unsigned_abs(),
                owners,
            })
        };
        asked.await.map_err(StoreError::database("say what waits"))
    }

    pub(super) async fn list(
        &self,
        pool: &PgPool,
        limit: usize,
    ) -> Result<Vec<ParkedEvent>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = sqlx::query(self.list.safe()).bind(limit).fetch_all(pool).await;
        let rows = rows.map_err(StoreError::database("list parked events"))?;
        let read = |row: &sqlx::postgres::PgRow| -> Result<_, sqlx::Error> {
            let id: String = row.try_get(1)?;
            Ok(ParkedEvent {
                row: row.try_get(0)?,
                id: EventId::parse(&id).map_err(|error| sqlx::Error::Decode(error.into()))?,
                topic: row.try_get(2)?,
                key: row.try_get::<Option<Vec<u8>>, _>(3)?.map(Bytes::from),
                reason: row.try_get(4)?,
                parked_at: DateTime::from_timestamp_micros(row.try_get(5)?).unwrap_or_default(),
                behind: row.try_get::<i64, _>(6)?.unsigned_abs(),
            })
        };
        rows.iter()
            .map(read)
            .collect::<Result<_, _>>()
            .map_err(StoreError::database("list parked events"))
    }

    /// Puts a parked event back, or only what waits behind it.
    pub(super) async fn put_back(
        &self,
        pool: &PgPool,
        channel: &str,
        row: RowId,
        itself: bool,
    ) -> Result<bool, StoreError> {
        let done = async {
            // The second statement has to see what was committed while the first one waited.
            let mut transaction = pool.begin_with(READ_COMMITTED).await?;
            let parked =
                sqlx::query(self.epoch.safe()).bind(row).execute(&mut *transaction).await?;
            if parked.rows_affected() == 0 {
                return Ok(false);
            }
            // A statement of its own: it sees what was parked before the lease was locked.
            let put_back = sqlx::query(self.put_back.safe()).bind(row).bind(itself).bind(channel);
            let back: i64 = put_back.fetch_one(&mut *transaction).await?.try_get(1)?;
            transaction.commit().await?;
            Ok::<_, sqlx::Error>(back > 0)
        };
        done.await.map_err(StoreError::database("put a parked event back"))
    }
}

fn micros(micros: i64) -> Duration {
    Duration::from_micros(micros.max(0).unsigned_abs())
}
