//! Events that are booked in a transaction, and what was booked.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sqlx::{AssertSqlSafe, Row};
use tidings::codec::Format;
use tidings::consumer::{Consumer, ConsumerBuilder, Event, State, TopicSetup, Tx};
use tidings::event::{
    Envelope, Flow, IntegrationEvent, InvalidKey, PartitionKey, Source, TopicName,
};
use tidings::publisher::Publisher;
use tidings::retry::{Backoff, RetryPolicy};
use tidings::store::postgres::{PostgresInbox, PostgresStore};
use tidings::transport::Transport;

use crate::stage::Stage;
use crate::support::*;

#[derive(Debug, Clone, serde::Serialize, serde::Deserialize, tidings::IntegrationEvent)]
#[event(name = "charged", topic = "charges", key = key)]
pub struct Charged {
    pub key: String,
    pub n: i32,
}

/// The same on a topic of one test's own, for a broker that all share.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct ChargedOn<const TEST: u8> {
    pub key: String,
    pub n: i32,
}

/// Names the topics of this run; a child process gets its parent's.
pub const RUN: &str = "TIDINGS_TEST_INBOX_RUN";

pub fn run() -> &'static str {
    static RUN_OF_PROCESS: OnceLock<String> = OnceLock::new();
    RUN_OF_PROCESS.get_or_init(|| std::env::var(RUN).unwrap_or_else(|_| unique("charges")))
}

impl<const TEST: u8> ChargedOn<TEST> {
    pub fn topic_name() -> TopicName {
        TopicName::new(format!("{}.{TEST}", run())).unwrap()
    }

    pub fn envelope(n: i32) -> Envelope {
        enveloped(&Self { key: format!("k{n}"), n })
    }
}

impl<const TEST: u8> IntegrationEvent for ChargedOn<TEST> {
    const NAME: &'static str = "charged";

    fn topics() -> Vec<TopicName> {
        vec![Self::topic_name()]
    }

    fn topic(&self) -> TopicName {
        Self::topic_name()
    }

    fn partition_key(&self) -> Result<Option<PartitionKey>, InvalidKey> {
        PartitionKey::new(self.key.as_str()).map(Some)
    }
}

/// What follows from it.
#[derive(Debug, serde::Serialize, serde::Deserialize, tidings::IntegrationEvent)]
#[event(name = "booked", topic = "paid", key = key)]
pub struct Booked {
    pub key: String,
    pub n: i32,
}

/// A statement that takes an event's number.
#[derive(Clone)]
pub struct Insert(pub Arc<str>);

pub fn charged(n: i32) -> Envelope {
    enveloped(&Charged { key: format!("k{n}"), n })
}

fn enveloped<E: IntegrationEvent>(event: &E) -> Envelope {
    let source = Source::new("shop").unwrap();
    tidings::codec::envelope(event, &source, Format::Json, &Flow::default()).unwrap()
}

pub async fn note(
    tx: &mut Tx<PostgresStore>,
    Insert(insert): Insert,
    n: i32,
) -> Result<(), sqlx::Error> {
    sqlx::query(AssertSqlSafe(insert)).bind(n).execute(&mut **tx).await.map(drop)
}

pub async fn book(
    Event(event): Event<Charged>,
    mut tx: Tx<PostgresStore>,
    State(insert): State<Insert>,
) -> Result<Booked, sqlx::Error> {
    note(&mut tx, insert, event.n).await?;
    Ok(Booked { key: event.key, n: event.n })
}

impl Stage {
    pub async fn make_effects(&self) {
        self.execute("CREATE TABLE {effects} (n integer NOT NULL)").await;
    }

    /// What was booked, in order.
    pub async fn effects(&self) -> Vec<i32> {
        let all = sqlx::query(self.sql("SELECT n FROM {effects} ORDER BY n"));
        all.fetch_all(&self.pool).await.unwrap().iter().map(|row| row.get(0)).collect()
    }

    pub fn insert(&self) -> Insert {
        self.statement("INSERT INTO {effects} VALUES ($1)")
    }

    pub fn statement(&self, statement: &str) -> Insert {
        Insert(self.sql(statement).0.into())
    }

    /// A consumer whose failures are dead letters after some tries in place.
    pub fn booking(&self) -> ConsumerBuilder {
        let retry = RetryPolicy::none().immediate(3);
        Consumer::builder("books")
            .inbox(PostgresInbox::new(self.outbox.clone()))
            .state(self.insert())
            .topics(TopicSetup::Create { partitions: Some(4), replication: None })
            .retry(retry.backoff(Backoff::fixed(Duration::from_millis(5))))
    }

    pub async fn caught_up(&self) {
        eventually("everything is committed", SOON, || self.broker.backlog().is_empty()).await;
    }
}

pub async fn publish(client: &(impl Transport + Clone), events: Vec<Envelope>) {
    Publisher::new(client).publish_envelopes(events).await.unwrap();
}
