//! An outbox in a file of a test's own, and a broker in memory.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, Row, SqlitePool};
use tidings::event::{Encoded, Envelope, Flow, Metadata, PartitionKey, Source, TopicName};
use tidings::outbox::{Relay, RelayBuilder, RunningRelay};
use tidings::store::sqlite::{SqliteOutbox, SqliteStore};
use tidings::transport::memory::{Memory, MemoryBroker, TopicConfig};

use crate::support::{SOON, unique};

pub const PAID: TopicName = TopicName::from_static("paid");
/// A topic that the broker does not have.
pub const MISSING: TopicName = TopicName::from_static("missing");

pub struct Stage {
    pub pool: SqlitePool,
    pub store: SqliteStore,
    pub outbox: SqliteOutbox,
    pub broker: MemoryBroker,
    file: PathBuf,
}

pub async fn stage() -> Stage {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(unique("outbox"));
    let options = SqliteConnectOptions::new()
        .filename(&file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .busy_timeout(Duration::from_secs(20));
    let pool = SqlitePoolOptions::new().max_connections(6).connect_with(options).await.unwrap();
    let store = SqliteStore::new(pool.clone());
    store.migrate().await.unwrap();
    store.migrate().await.unwrap();
    let outbox = SqliteOutbox::new(store.clone(), Source::new("shop").unwrap());
    let broker = MemoryBroker::builder().auto_create(false).build();
    let mut topic = TopicConfig::default();
    topic.partitions = 4;
    broker.create_topic(PAID, topic);
    Stage { pool, store, outbox, broker, file }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{suffix}", self.file.display()));
        }
    }
}

/// An event of a key; its number is its payload.
pub fn event(key: &str, n: u32) -> Envelope {
    event_on(PAID, key, n)
}

pub fn event_on(topic: TopicName, key: &str, n: u32) -> Envelope {
    Envelope {
        metadata: Metadata::named("paid", 1, Source::new("shop").unwrap(), &Flow::default()),
        topic,
        key: PartitionKey::new(key).ok(),
        event: Encoded { content_type: "application/json", payload: Bytes::from(n.to_string()) },
    }
}

impl Stage {
    /// Stores events in a transaction of their own.
    pub async fn store_all(&self, events: Vec<Envelope>) {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
        self.outbox.append(&mut transaction, events).await.unwrap();
        transaction.commit().await.unwrap();
    }

    pub fn client(&self) -> Memory {
        self.broker.client("relay").unwrap()
    }

    pub fn relay(&self) -> RelayBuilder {
        Relay::builder(self.store.clone()).lease(Duration::from_secs(2))
    }

    pub fn start(&self) -> RunningRelay {
        self.relay().build(&self.client()).unwrap().start()
    }

    pub async fn count(&self, table: &str) -> i64 {
        let count = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        sqlx::query(count).fetch_one(&self.pool).await.unwrap().get(0)
    }

    /// Waits until nothing is left in the outbox, parked rows aside.
    pub async fn drained(&self) {
        let deadline = tokio::time::Instant::now() + SOON;
        while self.count("tidings_outbox").await > 0 {
            assert!(tokio::time::Instant::now() < deadline, "the outbox is not drained");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The numbers that lie on the topic, by key, in order; a repeated one only where it came first.
    pub fn published(&self) -> BTreeMap<String, Vec<u32>> {
        let mut found = BTreeMap::<String, Vec<u32>>::new();
        let mut records = self.broker.records(&PAID);
        records.sort_by_key(|record| (record.partition, record.offset));
        for record in records {
            let key = String::from_utf8(record.key.unwrap().to_vec()).unwrap();
            let n = std::str::from_utf8(&record.payload.unwrap()).unwrap().parse().unwrap();
            let of_key = found.entry(key).or_default();
            if !of_key.contains(&n) {
                of_key.push(n);
            }
        }
        found
    }
}

/// Stops a relay of which nothing is left unmarked.
pub async fn stop(relay: RunningRelay) {
    let report = relay.stop(SOON).await;
    assert!(report.is_clean(), "{report:?}");
}
