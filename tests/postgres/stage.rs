//! An outbox of a test's own, in a schema of its own, and a broker in memory.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Row};
use tidings::event::{Encoded, Envelope, Flow, Metadata, PartitionKey, Source, TopicName};
use tidings::outbox::{Relay, RelayBuilder, RunningRelay};
use tidings::store::postgres::{PostgresOutbox, PostgresStore};
use tidings::store::{OutboxStore, Tables};
use tidings::transport::memory::{Memory, MemoryBroker, TopicConfig};

use crate::support::{SOON, address, unique};

pub const PAID: TopicName = TopicName::from_static("paid");
/// A topic that the broker does not have.
pub const MISSING: TopicName = TopicName::from_static("missing");

pub struct Stage {
    pub pool: PgPool,
    pub store: PostgresStore,
    pub outbox: PostgresOutbox,
    pub broker: MemoryBroker,
    schema: String,
}

/// `None`, said aloud, where there is no server.
pub async fn stage() -> Option<Stage> {
    Some(stage_at(&address("TIDINGS_TEST_POSTGRES")?).await)
}

pub async fn stage_at(url: &str) -> Stage {
    let schema = format!("t{}", uuid::Uuid::now_v7().simple())[..32].to_owned();
    let pool = PgPoolOptions::new().max_connections(12).connect(url).await.unwrap();
    let tables = Tables::new().schema(&schema).unwrap();
    let store = PostgresStore::with_tables(pool.clone(), tables);
    store.migrate().await.unwrap();
    let outbox = PostgresOutbox::new(store.clone(), Source::new("shop").unwrap());
    let broker = MemoryBroker::builder().auto_create(false).build();
    let mut topic = TopicConfig::default();
    topic.partitions = 4;
    broker.create_topic(PAID, topic);
    Stage { pool, store, outbox, broker, schema }
}

/// A database of a test's own on the server that all share, set to an isolation level.
pub async fn stage_of(isolation: &str) -> Option<Stage> {
    let server = address("TIDINGS_TEST_POSTGRES")?;
    let name = make_database(&server).await;
    let pool = PgPool::connect(&server).await.unwrap();
    let set = format!("ALTER DATABASE {name} SET default_transaction_isolation TO '{isolation}'");
    sqlx::query(AssertSqlSafe(set)).execute(&pool).await.unwrap();
    Some(stage_at(&of_database(&server, &name)).await)
}

/// Makes a database; answers its name.
pub async fn make_database(server: &str) -> String {
    let name = format!("d{}", uuid::Uuid::now_v7().simple());
    let pool = PgPool::connect(server).await.unwrap();
    let create = format!("CREATE DATABASE {name}");
    sqlx::query(AssertSqlSafe(create)).execute(&pool).await.unwrap();
    name
}

/// The URL of another database on the same server.
pub fn of_database(url: &str, name: &str) -> String {
    format!("{}/{name}", url.rsplit_once('/').unwrap().0)
}

/// A server of a test's own, where nobody else has transactions. It ends with this value.
pub struct OwnServer {
    script: String,
    dir: PathBuf,
    pub url: String,
}

impl OwnServer {
    /// `None`, said aloud, where there is no script.
    pub async fn start() -> Option<Self> {
        let script = address("TIDINGS_DEV_POSTGRES")?;
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(unique("postgres"));
        let mut server = Self { script, dir, url: String::new() };
        server.tell("start").await;
        let address = server.command("address").output().unwrap();
        server.url = String::from_utf8(address.stdout).unwrap().trim().to_owned();
        Some(server)
    }

    /// `stop`, `kill`, or `start` again, on the same port with the same data.
    pub async fn tell(&self, what: &str) {
        let mut command = self.command(what);
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    fn command(&self, what: &str) -> Command {
        let mut command = Command::new(&self.script);
        command.arg(what).arg("--dir").arg(&self.dir);
        command
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        // The test has ended; what is left of the server must not outlive it.
        let _ = self.command("kill").output();
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}

/// An event of a key; its number is its payload.
pub fn event(key: &str, n: u32) -> Envelope {
    event_on(PAID, Some(key), n)
}

pub fn event_on(topic: TopicName, key: Option<&str>, n: u32) -> Envelope {
    Envelope {
        metadata: Metadata::named("paid", 1, Source::new("shop").unwrap(), &Flow::default()),
        topic,
        key: key.map(|key| PartitionKey::new(key).unwrap()),
        event: Encoded { content_type: "application/json", payload: Bytes::from(n.to_string()) },
    }
}

impl Stage {
    /// A statement with `{name}` made a table's.
    pub fn sql(&self, statement: &str) -> AssertSqlSafe<String> {
        let names = statement.replace('{', &format!("{}.tidings_", self.schema));
        AssertSqlSafe(names.replace('}', ""))
    }

    pub fn schema(&self) -> &str {
        &self.schema
    }

    pub async fn execute(&self, statement: &str) {
        sqlx::query(self.sql(statement)).execute(&self.pool).await.unwrap();
    }

    pub async fn count(&self, table: &str) -> i64 {
        let count = self.sql(&format!("SELECT count(*) FROM {table}"));
        sqlx::query(count).fetch_one(&self.pool).await.unwrap().get(0)
    }

    pub async fn append(&self, connection: &mut PgConnection, events: Vec<Envelope>) {
        self.outbox.append(connection, events).await.unwrap();
    }

    /// Stores events in a transaction of their own.
    pub async fn store_all(&self, events: Vec<Envelope>) {
        let mut transaction = self.pool.begin().await.unwrap();
        self.append(&mut transaction, events).await;
        transaction.commit().await.unwrap();
    }

    pub fn client(&self, name: &str) -> Memory {
        self.broker.client(name).unwrap()
    }

    pub fn relay(&self) -> RelayBuilder {
        relay(self.store.clone())
    }

    pub fn start(&self) -> RunningRelay {
        self.relay().build(&self.client("relay")).unwrap().start()
    }

    /// The numbers that lie on the topic, by key, in order; a repeated one only where it came first.
    pub fn published(&self) -> BTreeMap<String, Vec<u32>> {
        let mut found = BTreeMap::<String, Vec<u32>>::new();
        let mut records = self.broker.records(&PAID);
        records.sort_by_key(|record| (record.partition, record.offset));
        for record in records {
            let key = record.key.map(|key| String::from_utf8(key.to_vec()).unwrap());
            let n = std::str::from_utf8(&record.payload.unwrap()).unwrap().parse().unwrap();
            let of_key = found.entry(key.unwrap_or_default()).or_default();
            if !of_key.contains(&n) {
                of_key.push(n);
            }
        }
        found
    }

    /// How many records lie on the topic, repeated ones too.
    pub fn records(&self) -> usize {
        self.broker.records(&PAID).len()
    }

    /// Waits until nothing is left in the outbox, parked rows aside.
    pub async fn drained(&self) {
        self.rows("{outbox}", 0).await;
    }

    pub async fn rows(&self, table: &str, count: i64) {
        let deadline = tokio::time::Instant::now() + SOON;
        loop {
            let is = self.count(table).await;
            if is == count {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "{table} has {is} rows, not {count}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

pub fn relay(store: impl OutboxStore) -> RelayBuilder {
    Relay::builder(store).lease(Duration::from_secs(2))
}

/// Stops a relay of which nothing is left unmarked.
pub async fn stop(relay: RunningRelay) {
    let report = relay.stop(SOON).await;
    assert!(report.is_clean(), "{report:?}");
}
