//! Storing events: one statement for many, in whatever transaction the caller is in.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::Sql;
use crate::store::{NewEvent, Tables};

/// How often one process tells relays of new rows while it is busy. `NOTIFY` takes a lock of the whole
/// cluster until its transaction has committed, so a busy service must not do it each time; its relays
/// are awake, and look again a little later by themselves.
const NOTIFY_EVERY: Duration = Duration::from_millis(20);
/// How many transactions that follow each other closely tell them all the same. Of a service that is not
/// busy each does: relays hear of a commit, and another transaction's may come long after.
const NOTIFY_BURST: u32 = 50;

/// The order of `unnest` is that of the arrays, and ids are taken in that order.
const APPEND: &str = "INSERT INTO {outbox} \
     (shard, event_id, topic, key, headers, payload, made_at, publish_at) \
     SELECT shard, event_id, topic, key, headers, payload, made_at, \
            to_timestamp($8::bigint / 1e6) \
     FROM unnest($1::smallint[], $2::text[], $3::text[], $4::bytea[], $5::bytea[], $6::bytea[], \
                 $7::bigint[]) AS e(shard, event_id, topic, key, headers, payload, made_at)";

/// One event alone, which most transactions have.
const APPEND_ONE: &str = "INSERT INTO {outbox} \
     (shard, event_id, topic, key, headers, payload, made_at, publish_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, to_timestamp($8::bigint / 1e6))";

pub(super) struct AppendSql {
    many: [Sql; 2],
    one: [Sql; 2],
    loud: Bucket,
}

impl AppendSql {
    pub(super) fn new(tables: &Tables) -> Self {
        // Quiet, and such that relays are told.
        let both = |append: &str| {
            let loud = format!("WITH stored AS ({append}) SELECT pg_notify($9, '')");
            [Sql::new(tables, append), Sql::new(tables, &loud)]
        };
        Self { many: both(APPEND), one: both(APPEND_ONE), loud: Bucket::full() }
    }

    pub(super) async fn append(
        &self,
        connection: &mut PgConnection,
        channel: &str,
        events: Vec<NewEvent>,
        publish_at: Option<DateTime<Utc>>,
    ) -> Result<(), sqlx::Error> {
        if events.is_empty() {
            // PostgreSQL answers the commit of a transaction in which a statement has failed as a
            // success, and commits nothing; any other statement it refuses.
            return sqlx::query("SELECT").execute(connection).await.map(drop);
        }
        let tell = self.loud.take(Instant::now());
        let publish_at = publish_at.map(|at| at.timestamp_micros());
        let query = if let [event] = &*events {
            sqlx::query(self.one[usize::from(tell)].safe())
                .bind(event.shard.number())
                .bind(event.id.to_string())
                .bind(event.record.topic.as_str())
                .bind(event.record.key.as_deref())
                .bind(event.record.headers.as_bytes())
                .bind(event.record.payload.as_deref())
                .bind(event.made_at)
        } else {
            let columns = Columns::of(&events);
            sqlx::query(self.many[usize::from(tell)].safe())
                .bind(columns.shard)
                .bind(columns.event_id)
                .bind(columns.topic)
                .bind(columns.key)
                .bind(columns.headers)
                .bind(columns.payload)
                .bind(columns.made_at)
        };
        let query = query.bind(publish_at);
        let query = if tell { query.bind(channel) } else { query };
        query.execute(connection).await.map(drop)
    }
}

/// What may be taken [`NOTIFY_BURST`] times at once, and once more each [`NOTIFY_EVERY`].
struct Bucket {
    begun: Instant,
    /// When it is full again, in microseconds since the beginning.
    full_at: AtomicU64,
}

impl Bucket {
    fn full() -> Self {
        Self { begun: Instant::now(), full_at: AtomicU64::new(0) }
    }

    /// Whether there was one left.
    fn take(&self, now: Instant) -> bool {
        let now = micros(now.saturating_duration_since(self.begun));
        let (one, all) = (micros(NOTIFY_EVERY), micros(NOTIFY_EVERY * NOTIFY_BURST));
        let taken = |full_at: u64| {
            let full_at = full_at.max(now) + one;
            (full_at <= now + all).then_some(full_at)
        };
        self.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok()
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Events, column by column.
#[derive(Default)]
struct Columns<'a> {
    shard: Vec<i16>,
    event_id: Vec<String>,
    topic: Vec<&'a str>,
    key: Vec<Option<&'a [u8]>>,
    headers: Vec<&'a [u8]>,
    payload: Vec<Option<&'a [u8]>>,
    made_at: Vec<i64>,
}

impl<'a> Columns<'a> {
    fn of(events: &'a [NewEvent]) -> Self {
        let mut columns = Self::default();
        for NewEvent { id, shard, record, made_at } in events {
            columns.shard.push(shard.number());
            columns.event_id.push(id.to_string());
            columns.topic.push(record.topic.as_str());
            columns.key.push(record.key.as_deref());
            columns.headers.push(record.headers.as_bytes());
            columns.payload.push(record.payload.as_deref());
            columns.made_at.push(*made_at);
        }
        columns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_a_few_transactions_tells_relays_and_of_many_one_in_a_while() {
        let bucket = Bucket::full();
        let at = |millis| bucket.begun + Duration::from_millis(millis);
        let loud = |many: u32, millis| (0..many).filter(|_| bucket.take(at(millis))).count();
        assert_eq!(loud(10, 0), 10);
        assert_eq!(loud(1_000, 0), 40);
        assert_eq!(loud(1_000, 19), 0);
        assert_eq!(loud(1_000, 20), 1);
        assert_eq!(loud(1_000, 120), 5);
        assert_eq!(loud(1_000, 3_600_000), 50, "no more than it holds");
    }
}
