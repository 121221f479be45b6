//! One relay's reading and marking.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use sqlx::postgres::{PgListener, PgRow};
use sqlx::{PgPool, Row};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::cursor::{Cursor, From};
use super::leases::Held;
use super::statements::SessionSql;
use crate::event::TopicName;
use crate::store::stored::{Stored, StoredRows};
use crate::store::{
    Fetched, Hint, Holding, OrderKey, OutboxRow, OutboxSession, RowId, Shard, StoreError,
};

/// How long until a listener that lost its connection tries again.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);
/// What a fetch asks of the database, for its errors.
const LISTING: &str = "list what is to be published";
/// What says in a notification that relays came or went.
pub(super) const LEASES: &str = "leases";

pub(super) struct PostgresSession {
    pub(super) pool: PgPool,
    pub(super) sql: Arc<SessionSql>,
    pub(super) relay: String,
    pub(super) channel: String,
    pub(super) held: Mutex<Held>,
    pub(super) cursor: Mutex<Cursor>,
    hints: Arc<Hints>,
    listener: AbortHandle,
}

#[derive(Default)]
struct Hints {
    rows: Notify,
    leases: Notify,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl PostgresSession {
    pub(super) fn new(pool: PgPool, sql: Arc<SessionSql>, relay: &str, channel: &str) -> Self {
        let hints = Arc::<Hints>::default();
        let listening = listen(pool.clone(), channel.to_owned(), hints.clone());
        Self {
            listener: tokio::spawn(listening).abort_handle(),
            pool,
            sql,
            relay: relay.to_owned(),
            channel: channel.to_owned(),
            held: Mutex::default(),
            cursor: Mutex::default(),
            hints,
        }
    }
}

impl PostgresSession {
    /// What is sent with a statement of those who hold these shards.
    fn held_of(&self, shards: impl Iterator<Item = Shard>) -> (Vec<i64>, String) {
        let held = lock(&self.held);
        (held.tokens(shards), held.which.clone())
    }
}

impl Drop for PostgresSession {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

/// Passes notifications on, for as long as the session lives.
async fn listen(pool: PgPool, channel: String, hints: Arc<Hints>) {
    loop {
        let listening: Result<(), sqlx::Error> = async {
            let mut listener = PgListener::connect_with(&pool).await?;
            listener.listen(&channel).await?;
            // What was said before is not heard.
            hints.rows.notify_one();
            loop {
                match listener.try_recv().await? {
                    Some(said) if said.payload() == LEASES => hints.leases.notify_one(),
                    // Without an answer the connection was lost, and with it what was said.
                    _ => hints.rows.notify_one(),
                }
            }
        }
        .await;
        if let Err(error) = listening {
            tracing::debug!(%error, "the outbox is not listened to; it is looked at now and then");
        }
        tokio::time::sleep(LISTEN_AGAIN).await;
    }
}

#[async_trait]
impl OutboxSession for PostgresSession {
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
        let asked = sqlx::query(self.sql.parked_keys.safe()).bind(numbers(shards));
        let rows = asked.fetch_all(&self.pool).await;
        let rows = rows.map_err(StoreError::database("list parked keys"))?;
        let read = || -> Result<_, sqlx::Error> {
            let (mut epochs, mut keys) = (BTreeMap::new(), Vec::new());
            for row in &rows {
                epochs.insert(row.try_get::<i16, _>(0)?, row.try_get::<i64, _>(1)?);
                if let Some(topic) = row.try_get::<Option<String>, _>(2)? {
                    let key = Bytes::from(row.try_get::<Vec<u8>, _>(3)?);
                    keys.extend(TopicName::new(topic).ok().map(|topic| OrderKey { topic, key }));
                }
            }
            Ok((epochs, keys))
        };
        let (epochs, keys) = read().map_err(StoreError::database("list parked keys"))?;
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
        let stale = || Ok(Fetched { stale: true, ..Fetched::default() });
        let known_of = || {
            let held = lock(&self.held);
            Some((held.which.clone(), held.epoch(shards)?))
        };
        let Some((which, epoch)) = known_of() else { return stale() };
        let From { snapshot, read, xids, ids, floor } = lock(&self.cursor).from();
        // Of what lies lower nothing is read, known or not.
        let known: Vec<_> = known.iter().copied().filter(|row| *row > floor).collect();
        let mask = shards.iter().fold(0_i64, |mask, shard| mask | (1 << shard.number()));
        let rows = sqlx::query(self.sql.fetch.safe())
            .bind(mask)
            .bind(known)
            .bind(rows_at_most(limit))
            .bind(xids)
            .bind(ids)
            .bind(snapshot)
            .bind(read)
            .fetch_all(&self.pool)
            .await
            .map_err(StoreError::database(LISTING))?;
        let mut fetched = Fetched::default();
        let mut first = None;
        let mut stored = StoredRows::default();
        fetched.rows.reserve(rows.len());
        let mut unreadable = Vec::new();
        for row in &rows {
            match outbox_row(row, &mut stored).map_err(StoreError::database(LISTING))? {
                Line::First(line) => first = Some(line),
                Line::Row(row) => fetched.rows.push(row),
                Line::Unreadable(row, shard, why) => unreadable.push((row, shard, why)),
            }
        }
        let first = first
            .and_then(|line| First::read(&line))
            .ok_or_else(|| sqlx::Error::Protocol("its first line is missing".into()))
            .map_err(StoreError::database(LISTING))?;
        if first.which != which {
            // What is held is to be asked for again.
            self.hints.leases.notify_one();
            return stale();
        }
        if first.epoch != epoch || lock(&self.held).which != which {
            return stale();
        }
        fetched.due_in = first.due_in;
        // The first line is not one of the rows.
        let (last, cut) = (rows.last().map(|row| row.try_get(0)), rows.len() > limit);
        let last = last.transpose().map_err(StoreError::database(LISTING))?;
        for (row, shard, why) in unreadable {
            tracing::error!(row, why, "an event cannot be read; it is parked");
            self.park(shard, Some((row, why)), &[]).await?;
        }
        // Last: where that failed, the same rows are read again.
        lock(&self.cursor).read(&first.snapshot, last, cut, first.taken);
        Ok(fetched)
    }

    async fn published(
        &self,
        rows: &[(RowId, Shard)],
        keep: Duration,
    ) -> Result<Vec<Shard>, StoreError> {
        let (tokens, which) = self.held_of(rows.iter().map(|(_, shard)| *shard));
        let ids: Vec<_> = rows.iter().map(|(row, _)| *row).collect();
        let taken = lock(&self.cursor).taken();
        let query = if keep.is_zero() { &self.sql.published } else { &self.sql.published_kept };
        let query = sqlx::query(query.safe()).bind(tokens).bind(which).bind(ids);
        let query = match keep.is_zero() {
            true => query,
            false => query.bind(i64::try_from(keep.as_micros()).unwrap_or(i64::MAX)),
        };
        let failed = "delete what was published";
        let row = query.fetch_one(&self.pool).await.map_err(StoreError::database(failed))?;
        let read = || -> Result<(Vec<i16>, String), sqlx::Error> {
            Ok((row.try_get(0)?, row.try_get(2)?))
        };
        let (held, xid) = read().map_err(StoreError::database(failed))?;
        // Where nothing is held any more, that xid may be another database's.
        if let (Ok(xid), false) = (xid.parse(), held.is_empty()) {
            lock(&self.cursor).mark(xid, taken);
        }
        Ok(held.into_iter().filter_map(Shard::numbered).collect())
    }

    async fn park(
        &self,
        shard: Shard,
        failed: Option<(RowId, &str)>,
        behind: &[RowId],
    ) -> Result<bool, StoreError> {
        let fence = {
            let held = lock(&self.held);
            held.fence(shard).map(|fence| (fence, held.which.clone()))
        };
        let Some(((token, epoch), which)) = fence else { return Ok(false) };
        let ids: Vec<_> = failed.map(|(row, _)| row).into_iter().chain(behind.to_vec()).collect();
        let asked = sqlx::query(self.sql.park.safe())
            .bind(shard.number())
            .bind(token)
            .bind(epoch)
            .bind(ids)
            .bind(failed.map(|(row, _)| row))
            .bind(failed.map(|(_, reason)| reason))
            .bind(which)
            .fetch_one(&self.pool)
            .await;
        let held = asked.and_then(|row| row.try_get::<i64, _>(0));
        held.map(|held| held == 1).map_err(StoreError::database("park an event"))
    }

    async fn due(&self, shards: &[Shard], limit: usize) -> Result<(), StoreError> {
        let (tokens, which) = self.held_of(shards.iter().copied());
        let due = sqlx::query(self.sql.due.safe()).bind(tokens).bind(which);
        let due = due.bind(rows_at_most(limit));
        let moved = due.execute(&self.pool).await;
        moved.map(drop).map_err(StoreError::database("move what is due"))
    }

    async fn tidy(&self, limit: usize) -> Result<usize, StoreError> {
        let tidied = sqlx::query(self.sql.tidy.safe()).bind(rows_at_most(limit));
        let tidied = tidied.execute(&self.pool).await;
        let tidied = tidied.map_err(StoreError::database("delete what was kept long enough"))?;
        Ok(usize::try_from(tidied.rows_affected()).unwrap_or(usize::MAX))
    }

    async fn hint(&self) -> Hint {
        tokio::select! {
            () = self.hints.rows.notified() => Hint::Rows,
            () = self.hints.leases.notified() => Hint::Leases,
        }
    }
}

fn rows_at_most(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn numbers(shards: &[Shard]) -> Vec<i16> {
    shards.iter().map(|shard| shard.number()).collect()
}

/// What the first line of a fetch says.
struct First {
    which: String,
    snapshot: String,
    taken: RowId,
    epoch: i64,
    due_in: Option<Duration>,
}

impl First {
    fn read(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let (which, snapshot) = (words.next()?.to_owned(), words.next()?.to_owned());
        let (taken, epoch) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let due = words.next().and_then(|millis| millis.parse::<i64>().ok());
        let due_in = due.map(|millis| Duration::from_millis(millis.max(0).unsigned_abs()));
        Some(Self { which, snapshot, taken, epoch, due_in })
    }
}

enum Line {
    First(String),
    Row(OutboxRow),
    Unreadable(RowId, Shard, &'static str),
}

fn outbox_row(row: &PgRow, stored: &mut StoredRows) -> Result<Line, sqlx::Error> {
    let number: RowId = row.try_get(0)?;
    let id: &str = row.try_get(2)?;
    if number == 0 {
        return Ok(Line::First(id.to_owned()));
    }
    let shard = Shard::numbered(row.try_get(1)?).ok_or_else(|| decode("it is in no shard"))?;
    let read = stored.read(Stored {
        row: number,
        shard,
        id,
        topic: row.try_get(3)?,
        key: row.try_get(4)?,
        headers: row.try_get(5)?,
        payload: row.try_get(6)?,
        made_at: row.try_get(7)?,
    });
    Ok(read.map_or_else(|why| Line::Unreadable(number, shard, why), Line::Row))
}

fn decode(why: &'static str) -> sqlx::Error {
    sqlx::Error::Decode(why.into())
}
