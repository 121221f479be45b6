//! Events that are booked in a transaction, and what was booked.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{AssertSqlSafe, Row};
use tidings::codec::Format;
use tidings::consumer::{Consumer, ConsumerBuilder, Event, State, TopicSetup, Tx};
use tidings::event::{Envelope, Flow, Source};
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
    let event = Charged { key: format!("k{n}"), n };
    let source = Source::new("shop").unwrap();
    tidings::codec::envelope(&event, &source, Format::Json, &Flow::default()).unwrap()
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
        eventually("everything is committed", SOON, || self.broker.lag().is_empty()).await;
    }
}

pub async fn publish(client: &(impl Transport + Clone), events: Vec<Envelope>) {
    Publisher::new(client).publish_envelopes(events).await.unwrap();
}
