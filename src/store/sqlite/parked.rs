//! What waits, and what is done about parked events: for people and consoles, not for relays.

use std::time::Duration;

use bytes::Bytes;
use chrono::DateTime;
use sqlx::SqlitePool;
use sqlx::sqlite::SqliteRow;

use super::{Sql, WRITE, at};
use crate::event::EventId;
use crate::store::{Backlog, LeaseOwner, ParkedEvent, RowId, StoreError, Tables};

const BACKLOG: &str = "SELECT \
     (SELECT count(*) FROM {outbox} WHERE publish_at IS NULL), \
     (SELECT {now} - appended_at FROM {outbox} WHERE publish_at IS NULL ORDER BY id LIMIT 1), \
     (SELECT count(*) FROM {outbox} WHERE publish_at IS NOT NULL), \
     (SELECT count(*) FROM {outbox_parked} WHERE reason IS NOT NULL), \
     (SELECT count(*) FROM {outbox_parked} WHERE reason IS NULL)";

const OWNERS: &str = "SELECT owner, count(*), max(0, min(expires_at) - {now}) \
     FROM {outbox_leases} WHERE owner IS NOT NULL GROUP BY owner ORDER BY owner";

const LIST: &str = "SELECT p.id, p.event_id, p.topic, p.key, p.reason, p.parked_at, \
     (SELECT count(*) FROM {outbox_parked} b \
      WHERE b.shard = p.shard AND b.topic = p.topic AND b.key = p.key AND b.reason IS NULL) \
     FROM {outbox_parked} p WHERE p.reason IS NOT NULL ORDER BY p.id LIMIT ?1";

/// Tells the shard's owner.
const EPOCH: &str = "UPDATE {outbox_leases} SET epoch = epoch + 1 \
     WHERE shard = (SELECT shard FROM {outbox_parked} WHERE id = ?1 AND reason IS NOT NULL)";

/// The parked event, and what waits behind it.
const FAMILY: &str = "(p.id = ?1 OR EXISTS (SELECT 1 FROM {outbox_parked} h WHERE h.id = ?1 \
     AND p.shard = h.shard AND p.topic = h.topic AND p.key = h.key AND p.reason IS NULL))";
const PUT_BACK: &str = "INSERT INTO {outbox} \
         (id, shard, event_id, topic, key, headers, payload, made_at, appended_at) \
     SELECT id, shard, event_id, topic, key, headers, payload, made_at, appended_at \
     FROM {outbox_parked} p WHERE (?2 OR p.id <> ?1) AND ";
/// What waits goes first: it is known by the one that failed.
const DELETE: [&str; 2] = [
    "DELETE FROM {outbox_parked} AS p WHERE p.id <> ?1 AND ",
    "DELETE FROM {outbox_parked} AS p WHERE p.id = ?1 AND ",
];

pub(super) struct ParkedSql {
    backlog: Sql,
    owners: Sql,
    list: Sql,
    epoch: Sql,
    put_back: Sql,
    delete: [Sql; 2],
}

impl ParkedSql {
    pub(super) fn new(tables: &Tables) -> Self {
        let sql = |statement: &str| Sql::new(tables, statement);
        Self {
            backlog: sql(BACKLOG),
            owners: sql(OWNERS),
            list: sql(LIST),
            epoch: sql(EPOCH),
            put_back: sql(&format!("{PUT_BACK}{FAMILY}")),
            delete: DELETE.map(|delete| sql(&format!("{delete}{FAMILY}"))),
        }
    }

    pub(super) async fn backlog(&self, pool: &SqlitePool) -> Result<Backlog, StoreError> {
        let asked = async {
            let row = sqlx::query(self.backlog.safe()).fetch_one(pool).await?;
            let mut owners = Vec::new();
            for row in sqlx::query(self.owners.safe()).fetch_all(pool).await? {
                owners.push(LeaseOwner {
                    relay: at(&row, 0)?,
                    shards: at::<i64>(&row, 1)?.unsigned_abs(),
                    expires_in: millis(at(&row, 2)?),
                });
            }
            Ok::<_, sqlx::Error>(Backlog {
                rows: at::<i64>(&row, 0)?.unsigned_abs(),
                oldest: at::<Option<i64>>(&row, 1)?.map(millis),
                delayed: at::<i64>(&row, 2)?.unsigned_abs(),
                parked: at::<i64>(&row, 3)?.unsigned_abs(),
                behind_parked: at::<i64>(&row, 4)?.unsigned_abs(),
                owners,
            })
        };
        asked.await.map_err(StoreError::database("say what waits"))
    }

    pub(super) async fn list(
        &self,
        pool: &SqlitePool,
        limit: usize,
    ) -> Result<Vec<ParkedEvent>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let read = |row: &SqliteRow| -> Result<_, sqlx::Error> {
            let id: &str = at(row, 1)?;
            Ok(ParkedEvent {
                row: at(row, 0)?,
                id: EventId::parse(id).map_err(|error| sqlx::Error::Decode(error.into()))?,
                topic: at(row, 2)?,
                key: at::<Option<Vec<u8>>>(row, 3)?.map(Bytes::from),
                reason: at(row, 4)?,
                parked_at: DateTime::from_timestamp_millis(at(row, 5)?).unwrap_or_default(),
                behind: at::<i64>(row, 6)?.unsigned_abs(),
            })
        };
        let rows = sqlx::query(self.list.safe()).bind(limit).fetch_all(pool).await;
        rows.and_then(|rows| rows.iter().map(read).collect())
            .map_err(StoreError::database("list parked events"))
    }

    /// Puts a parked event back, or only what waits behind it.
    pub(super) async fn put_back(
        &self,
        pool: &SqlitePool,
        row: RowId,
        itself: bool,
    ) -> Result<bool, StoreError> {
        let done = async {
            let mut transaction = pool.begin_with(WRITE).await?;
            let parked = sqlx::query(self.epoch.safe()).bind(row);
            if parked.execute(&mut *transaction).await?.rows_affected() == 0 {
                return Ok(false);
            }
            let back = sqlx::query(self.put_back.safe()).bind(row).bind(itself);
            back.execute(&mut *transaction).await?;
            for delete in &self.delete {
                sqlx::query(delete.safe()).bind(row).execute(&mut *transaction).await?;
            }
            transaction.commit().await?;
            Ok::<_, sqlx::Error>(true)
        };
        done.await.map_err(StoreError::database("put a parked event back"))
    }
}

fn millis(millis: i64) -> Duration {
    Duration::from_millis(millis.max(0).unsigned_abs())
}
