//! An outbox in a schema of its own, a topic, and events of about 300 bytes.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, PgPool};
use tidings::event::{Encoded, Envelope, Flow, Metadata, PartitionKey, Source, TopicName};
use tidings::publisher::Publisher;
use tidings::store::Tables;
use tidings::store::postgres::{PostgresOutbox, PostgresStore};
use tidings::transport::TopicSetup;
use tidings::transport::kafka::{Kafka, KafkaConfig};

const PARTITIONS: i32 = 12;
const KEYS: u64 = 10_000;
/// The number of the first order.
pub(crate) const FIRST_ORDER: u64 = 10_000_000;
const WAIT: Duration = Duration::from_secs(30);

pub(crate) struct Stage {
    pub(crate) pool: PgPool,
    pub(crate) store: PostgresStore,
    pub(crate) outbox: PostgresOutbox,
    pub(crate) config: KafkaConfig,
    pub(crate) kafka: Kafka,
    pub(crate) topic: TopicName,
    schema: String,
}

impl Stage {
    pub(crate) async fn new(url: &str, brokers: &str) -> Self {
        let config = KafkaConfig::new("bench", brokers).with_env().expect("variables");
        let kafka = Kafka::connect(config.clone()).expect("a client");
        let id = uuid::Uuid::now_v7().simple().to_string();
        let topic = TopicName::new(format!("tidings-bench-outbox-{id}")).expect("a name");
        let setup = TopicSetup::Create { partitions: Some(PARTITIONS), replication: Some(1) };
        Publisher::prepare_topics(&kafka, [topic.clone()], setup, WAIT).await.expect("a topic");
        let schema = format!("b{}", &id[..31]);
        let pool = PgPoolOptions::new().max_connections(4).connect(url).await.expect("a pool");
        // Not durable it would be another race.
        for setting in ["synchronous_commit", "fsync"] {
            let shown = sqlx::query_scalar::<_, String>(AssertSqlSafe(format!("SHOW {setting}")));
            assert_eq!(shown.fetch_one(&pool).await.expect(setting), "on", "{setting}");
        }
        let tables = Tables::new().schema(&schema).expect("a schema");
        let store = PostgresStore::with_tables(pool.clone(), tables);
        store.migrate().await.expect("tables");
        let outbox = PostgresOutbox::new(store.clone(), Source::new("bench").expect("a source"));
        Self { pool, store, outbox, config, kafka, topic, schema }
    }

    /// A statement with `{name}` made a table's.
    pub(crate) fn sql(&self, statement: &str) -> AssertSqlSafe<String> {
        let names = statement.replace('{', &format!("{}.tidings_", self.schema));
        AssertSqlSafe(names.replace('}', ""))
    }

    pub(crate) async fn execute(&self, statement: &str) {
        sqlx::query(self.sql(statement)).execute(&self.pool).await.expect(statement);
    }

    /// The `number`th event, of one of 10,000 keys.
    pub(crate) fn event(&self, number: u64) -> Envelope {
        let customer = number.wrapping_mul(0x9e37_79b9) % KEYS;
        let payload = json!({
            "order_id": FIRST_ORDER + number,
            "customer": format!("customer-{customer:05}"),
            "email": format!("somebody.{customer:05}@example.com"),
            "name": "Ada Augusta King-Noel",
            "street": "12 St James's Square, second floor",
            "city": "London",
            "country": "United Kingdom",
            "items": 3,
            "total_cents": 129_900,
            "currency": "GBP",
            "note": "leave it with the neighbours, please",
        });
        let source = self.outbox.source().clone();
        Envelope {
            metadata: Metadata::named("order_placed", 1, source, &Flow::default()),
            topic: self.topic.clone(),
            key: PartitionKey::new(format!("customer-{customer:05}")).ok(),
            event: Encoded {
                content_type: "application/json",
                payload: Bytes::from(payload.to_string()),
            },
        }
    }

    pub(crate) async fn leave(&self) {
        let schema = AssertSqlSafe(format!("DROP SCHEMA {} CASCADE", self.schema));
        sqlx::query(schema).execute(&self.pool).await.expect("it is there");
    }
}
