//! Storing events: one statement for many, in whatever transaction the caller is in.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::Sql;
use crate::codec::EnvelopeError;
use crate::codec::cloudevents::{ContentMode, Malformed};
use crate::event::Envelope;
use crate::publisher;
use crate::store::{Shard, StoreError, Tables};

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

/// An event was not stored. The transaction it was to be stored in cannot be committed any more.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// It has no usable key, or its payload cannot be made.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// Payload and content mode do not go together.
    #[error("the event cannot be laid on a record")]
    Wire(#[from] Malformed),
    /// The database refused.
    #[error(transparent)]
    Store(#[from] StoreError),
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
        envelopes: &[Envelope],
        mode: ContentMode,
        publish_at: Option<DateTime<Utc>>,
    ) -> Result<(), AppendError> {
        if envelopes.is_empty() {
            return Ok(());
        }
        let columns = Columns::of(envelopes, mode)?;
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
        let stored = query.execute(connection).await;
        stored.map(drop).map_err(|error| StoreError::database("store the events")(error).into())
    }
}

/// Records, column by column.
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
    fn of(envelopes: &[Envelope], mode: ContentMode) -> Result<Self, Malformed> {
        let mut columns = Self::default();
        for envelope in envelopes {
            let record = publisher::record(envelope, mode)?;
            let id = &envelope.metadata.id;
            let key = record.key.as_deref();
            columns.shard.push(Shard::of(record.topic.as_str(), key, id).number());
            columns.event_id.push(id.to_string());
            columns.topic.push(record.topic.as_str().to_owned());
            columns.key.push(record.key.map(Vec::from));
            columns.headers.push(record.headers.as_bytes().to_vec());
            columns.payload.push(record.payload.map(Vec::from));
            let made_at = envelope.metadata.time.timestamp_millis();
            columns.made_at.push(record.timestamp.unwrap_or(made_at));
        }
        Ok(columns)
    }
}
