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

pub(super) struct AppendSql {
    quiet: Sql,
    loud: Sql,
    begun: Instant,
    /// When relays were told last, in milliseconds since the beginning.
    told: AtomicU64,
}

impl AppendSql {
    pub(super) fn new(tables: &Tables) -> Self {
        let loud = format!("WITH stored AS ({APPEND}) SELECT pg_notify($9, '')");
        Self {
            quiet: Sql::new(tables, APPEND),
            loud: Sql::new(tables, &loud),
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
        let columns = Columns::of(events);
        let tell = self.tell();
        let query = sqlx::query(if tell { self.loud.safe() } else { self.quiet.safe() })
            .bind(columns.shard)
            .bind(columns.event_id)
            .bind(columns.topic)
            .bind(columns.key)
            .bind(columns.headers)
            .bind(columns.payload)
            .bind(columns.made_at)
            .bind(publish_at.map(|at| at.timestamp_micros()));
        let query = if tell { query.bind(channel) } else { query };
        query.execute(connection).await.map(drop)
    }
}

/// Events, column by column.
#[derive(Default)]
struct Columns {
    shard: Vec<i16>,
    event_id: Vec<String>,
    topic: Vec<String>,
    key: Vec<Option<Vec<u8>>>,
    headers: Vec<Vec<u8>>,
    payload: Vec<Option<Vec<u8>>>,
    made_at: Vec<i64>,
}

impl Columns {
    fn of(events: Vec<NewEvent>) -> Self {
        let mut columns = Self::default();
        for NewEvent { id, shard, record, made_at } in events {
            columns.shard.push(shard.number());
            columns.event_id.push(id.to_string());
            columns.topic.push(record.topic.as_str().to_owned());
            columns.key.push(record.key.map(Vec::from));
            columns.headers.push(record.headers.as_bytes().to_vec());
            columns.payload.push(record.payload.map(Vec::from));
            columns.made_at.push(made_at);
        }
        columns
    }
}
