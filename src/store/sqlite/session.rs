//! One relay's reading and marking.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use sqlx::sqlite::SqliteRow;
use sqlx::{Sqlite, SqlitePool, Transaction};
use tokio::sync::watch;

use super::cursor::Cursor;
use super::leases::Held;
use super::statements::SessionSql;
use super::{SqliteStore, WRITE, at, list};
use crate::event::TopicName;
use crate::store::stored::{Stored, StoredRows};
use crate::store::{
    Fetched, Hint, Holding, OrderKey, OutboxRow, OutboxSession, RowId, Shard, StoreError,
};

/// What a fetch asks of the database, for its errors.
const LISTING: &str = "list what is to be published";

pub(super) struct SqliteSession {
    pub(super) store: SqliteStore,
    pub(super) sql: Arc<SessionSql>,
    pub(super) relay: String,
    pub(super) held: Mutex<Held>,
    cursor: Mutex<Cursor>,
    told: tokio::sync::Mutex<Told>,
}

/// How often rows were stored, and how often relays came or went.
type Counts = (u64, u64);

/// What is told, and what was heard of it.
struct Told {
    told: watch::Receiver<Counts>,
    heard: Counts,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SqliteSession {
    pub(super) fn new(store: SqliteStore, sql: Arc<SessionSql>, relay: &str) -> Self {
        let told = store.0.told.subscribe();
        let heard = *told.borrow();
        Self {
            store,
            sql,
            relay: relay.to_owned(),
            held: Mutex::default(),
            cursor: Mutex::default(),
            told: tokio::sync::Mutex::new(Told { told, heard }),
        }
    }

    pub(super) fn pool(&self) -> &SqlitePool {
        self.store.pool()
    }

    async fn fetched(
        &self,
        shards: &[Shard],
        known: &[RowId],
        limit: usize,
    ) -> Result<Fetched, sqlx::Error> {
        let Some(epoch) = lock(&self.held).epoch(shards) else {
            return Ok(Fetched { stale: true, ..Fetched::default() });
        };
        let (shards, from) = (numbers(shards), lock(&self.cursor).from());
        // One transaction: both statements see the same.
        let mut transaction = self.pool().begin().await?;
        let state = sqlx::query(self.sql.state.safe()).bind(&shards);
        let state = state.fetch_one(&mut *transaction).await?;
        if at::<Option<i64>>(&state, 0)? != Some(epoch) {
            return Ok(Fetched { stale: true, ..Fetched::default() });
        }
        let due = at::<Option<i64>>(&state, 1)?;
        let rows = sqlx::query(self.sql.fetch.safe())
            .bind(from)
            .bind(shards)
            .bind(list(known.iter().copied().filter(|row| *row > from)))
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(&mut *transaction)
            .await?;
        transaction.rollback().await?;
        let mut fetched = Fetched {
            rows: Vec::with_capacity(rows.len()),
            stale: false,
            due_in: due.map(|due| Duration::from_millis(due.max(0).unsigned_abs())),
        };
        let mut stored = StoredRows::default();
        for row in &rows {
            match outbox_row(row, &mut stored)? {
                Ok(row) => fetched.rows.push(row),
                Err((row, shard, why)) => {
                    tracing::error!(row, why, "an event cannot be read; it is parked");
                    self.parked(shard, Some((row, why)), &[]).await?;
                }
            }
        }
        if let Some(last) = rows.last() {
            lock(&self.cursor).read(at(last, 0)?);
        }
        Ok(fetched)
    }

    async fn marked(
        &self,
        rows: &[(RowId, Shard)],
        keep: Duration,
    ) -> Result<Vec<Shard>, sqlx::Error> {
        let mut transaction = self.pool().begin_with(WRITE).await?;
        let held = self.still_held(&mut transaction, rows.iter().map(|(_, shard)| *shard)).await?;
        let (ids, shards) = (list(rows.iter().map(|(row, _)| *row)), numbers(&held));
        if !keep.is_zero() {
            let keep = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX / 2);
            let kept = sqlx::query(self.sql.keep.safe()).bind(&ids).bind(&shards).bind(keep);
            kept.execute(&mut *transaction).await?;
        }
        let gone = sqlx::query(self.sql.delete.safe()).bind(ids).bind(shards);
        gone.execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(held)
    }

    async fn parked(
        &self,
        shard: Shard,
        failed: Option<(RowId, &str)>,
        behind: &[RowId],
    ) -> Result<bool, sqlx::Error> {
        let Some((token, epoch)) = lock(&self.held).fence(shard) else { return Ok(false) };
        let mut transaction = self.pool().begin_with(WRITE).await?;
        let fence = sqlx::query(self.sql.leases.fence.safe());
        let fence = fence.bind(shard.number()).bind(token).bind(epoch);
        if fence.fetch_optional(&mut *transaction).await?.is_none() {
            return Ok(false);
        }
        let ids = list(failed.map(|(row, _)| row).into_iter().chain(behind.iter().copied()));
        let shards = numbers(&[shard]);
        let park = sqlx::query(self.sql.park.safe())
            .bind(&ids)
            .bind(&shards)
            .bind(failed.map(|(row, _)| row))
            .bind(failed.map(|(_, reason)| reason));
        park.execute(&mut *transaction).await?;
        let gone = sqlx::query(self.sql.delete.safe()).bind(ids).bind(shards);
        gone.execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(true)
    }

    async fn moved(&self, shards: &[Shard], limit: usize) -> Result<(), sqlx::Error> {
        let mut transaction = self.pool().begin_with(WRITE).await?;
        let held = self.still_held(&mut transaction, shards.iter().copied()).await?;
        let now = sqlx::query(self.sql.now.safe()).fetch_one(&mut *transaction).await?;
        let now: i64 = at(&now, 0)?;
        for statement in &self.sql.due {
            let due = sqlx::query(statement.safe()).bind(numbers(&held)).bind(now);
            due.bind(rows_at_most(limit)).execute(&mut *transaction).await?;
        }
        transaction.commit().await
    }

    /// Those of these shards that nobody else has taken, within a transaction that writes.
    async fn still_held(
        &self,
        transaction: &mut Transaction<'_, Sqlite>,
        shards: impl Iterator<Item = Shard>,
    ) -> Result<Vec<Shard>, sqlx::Error> {
        let tokens = lock(&self.held).tokens(shards);
        let rows = sqlx::query(self.sql.leases.tokens.safe()).fetch_all(&mut **transaction).await?;
        let mut held = Vec::new();
        for row in &rows {
            let (shard, token) = (at::<i16>(row, 0)?, at::<i64>(row, 1)?);
            if tokens.get(&shard) == Some(&token) {
                held.extend(Shard::numbered(shard));
            }
        }
        Ok(held)
    }
}

#[async_trait]
impl OutboxSession for SqliteSession {
    async fn renew(&self, lease: Duration) -> Result<Holding, StoreError> {
        self.renewed(lease).await.map_err(StoreError::database("renew leases"))
    }

    async fn give_up(&self, shards: &[Shard]) -> Result<(), StoreError> {
        self.given_up(shards).await.map_err(StoreError::database("give leases up"))
    }

    async fn leave(&self) -> Result<(), StoreError> {
        self.left().await.map_err(StoreError::database("let a relay leave"))
    }

    async fn parked_keys(&self, shards: &[Shard]) -> Result<Vec<OrderKey>, StoreError> {
        let asked = async {
            let keys = sqlx::query(self.sql.parked_keys.safe()).bind(numbers(shards));
            let (mut epochs, mut keys_of) = (BTreeMap::new(), Vec::new());
            for row in keys.fetch_all(self.pool()).await? {
                epochs.insert(at::<i16>(&row, 0)?, at::<i64>(&row, 1)?);
                if let Some(topic) = at::<Option<String>>(&row, 2)? {
                    let key = Bytes::from(at::<Vec<u8>>(&row, 3)?);
                    keys_of.extend(TopicName::new(topic).ok().map(|topic| OrderKey { topic, key }));
                }
            }
            Ok::<_, sqlx::Error>((epochs, keys_of))
        };
        let (epochs, keys) = asked.await.map_err(StoreError::database("list parked keys"))?;
        lock(&self.held).epochs.extend(epochs);
        // What was put back lies where it lay, which is behind the cursor.
        lock(&self.cursor).restart();
        Ok(keys)
    }

    async fn fetch(
        &self,
        shards: &[Shard],
        known: &[RowId],
        limit: usize,
    ) -> Result<Fetched, StoreError> {
        self.fetched(shards, known, limit).await.map_err(StoreError::database(LISTING))
    }

    async fn published(
        &self,
        rows: &[(RowId, Shard)],
        keep: Duration,
    ) -> Result<Vec<Shard>, StoreError> {
        let failed = "delete what was published";
        self.marked(rows, keep).await.map_err(StoreError::database(failed))
    }

    async fn park(
        &self,
        shard: Shard,
        failed: Option<(RowId, &str)>,
        behind: &[RowId],
    ) -> Result<bool, StoreError> {
        let parked = self.parked(shard, failed, behind).await;
        parked.map_err(StoreError::database("park an event"))
    }

    async fn due(&self, shards: &[Shard], limit: usize) -> Result<(), StoreError> {
        self.moved(shards, limit).await.map_err(StoreError::database("move what is due"))
    }

    async fn tidy(&self, limit: usize) -> Result<usize, StoreError> {
        let tidied = sqlx::query(self.sql.tidy.safe()).bind(rows_at_most(limit));
        let tidied = tidied.execute(self.pool()).await;
        let tidied = tidied.map_err(StoreError::database("delete what was kept long enough"))?;
        Ok(usize::try_from(tidied.rows_affected()).unwrap_or(usize::MAX))
    }

    async fn hint(&self) -> Hint {
        let mut told = self.told.lock().await;
        let Told { told, heard } = &mut *told;
        loop {
            let now = *told.borrow_and_update();
            let before = std::mem::replace(heard, now);
            match now {
                (_, leases) if leases != before.1 => return Hint::Leases,
                (rows, _) if rows != before.0 => return Hint::Rows,
                _ => {}
            }
            if told.changed().await.is_err() {
                // The store is gone, and with it whoever could tell.
                return std::future::pending().await;
            }
        }
    }
}

fn rows_at_most(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn numbers(shards: &[Shard]) -> String {
    list(shards.iter().map(|shard| shard.number().into()))
}

fn outbox_row(
    row: &SqliteRow,
    stored: &mut StoredRows,
) -> Result<Result<OutboxRow, (RowId, Shard, &'static str)>, sqlx::Error> {
    let number: RowId = at(row, 0)?;
    let shard = Shard::numbered(at(row, 1)?)
        .ok_or_else(|| sqlx::Error::Decode("it is in no shard".into()))?;
    let read = stored.read(Stored {
        row: number,
        shard,
        id: at(row, 2)?,
        topic: at(row, 3)?,
        key: at(row, 4)?,
        headers: at(row, 5)?,
        payload: at(row, 6)?,
        made_at: at(row, 7)?,
    });
    Ok(read.map_err(|why| (number, shard, why)))
}
