//! Storing events: one statement for many, in whatever transaction the caller is in.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::Sql;
use crate::store::{NewEvent, Tables};

/// How often one process tells relays of new rows, at most. `NOTIFY` takes a lock of the whole
/// cluster until its transaction has committed, so a busy service must not do it each time; a relay
/// looks again a little later by itself.
const NOTIFY_EVERY: Duration = Duration::from_millis(20);

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
    begun: Instant,
    /// When relays were told last, in milliseconds since the beginning.
    told: AtomicU64,
}

impl AppendSql {
    pub(super) fn new(tables: &Tables) -> Self {
        // Quiet, and such that relays are told.
        let both = |append: &str| {
            let loud = format!("WITH stored AS ({append}) SELECT pg_notify($9, '')");
            [Sql::new(tables, append), Sql::new(tables, &loud)]
        };
        Self {
            many: both(APPEND),
            one: both(APPEND_ONE),
            begun: Instant::now(),
            told: AtomicU64::new(0),
        }
    }

    /// Whether relays are to be told this time.
    fn tell(&self) -> bool {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let every = NOTIFY_EVERY.as_millis() as u64;
        let due = |told: u64| (told == 0 || now >= told + every).then_some(now.max(1));
        self.told.fetch_update(Ordering::Relaxed, Ordering::Relaxed, due).is_ok()
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
        let tell = self.tell();
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
