//! Visits come in, reports go out.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidings::consumer::{RunningConsumer, StopReport};
use tidings::event::TopicName;
use tidings::producer::{Message, Producer};
use tidings::transport::memory::{Memory, MemoryBroker, TopicConfig};
use tidings::transport::{NewTopic, Received, TopicPartition, TopicSetup, Transport};
use tidings::worker::{RunningWorker, Work, Worker, WorkerBuilder};
use tidings::{IntegrationEvent, Topic};

/// A plain value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visit {
    pub page: String,
    pub n: u32,
}

pub fn visit(page: &str, n: u32) -> Visit {
    Visit { page: page.into(), n }
}

/// An integration event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, IntegrationEvent)]
#[event(name = "reported", key = title, topic = Reports)]
pub struct Reported {
    pub title: String,
    pub n: u32,
}

/// Another, without a key of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, IntegrationEvent)]
#[event(name = "counted", unkeyed, topic = Reports)]
pub struct Counted {
    pub n: u32,
}

#[derive(Topic)]
#[topic(kind = event, name = "visits", carries(Visit), partitions = 1)]
pub struct Visits;

#[derive(Topic)]
#[topic(kind = event, name = "reports", carries(Visit, Reported, Counted), partitions = 1)]
pub struct Reports;

pub const CREATE: TopicSetup = TopicSetup::Create { partitions: None, replication: None };

pub const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A broker with the two topics, and a client of it.
pub async fn stage() -> (MemoryBroker, Memory) {
    let broker = MemoryBroker::new();
    let client = broker.client("site").unwrap();
    let topics = [Visits::spec(), Reports::spec()]
        .map(|spec| NewTopic { partitions: Some(1), ..NewTopic::new(spec.name().clone()) });
    client.admin().create(&topics, secs(1)).await.unwrap();
    (broker, client)
}

/// A broker that makes no topic by itself, with the two.
pub fn strict() -> (MemoryBroker, Memory) {
    let broker = MemoryBroker::builder().auto_create(false).build();
    for topic in [Visits::NAME, Reports::NAME] {
        broker.create_topic(topic, one_partition());
    }
    let client = broker.client("site").unwrap();
    (broker, client)
}

pub fn one_partition() -> TopicConfig {
    let mut config = TopicConfig::default();
    config.partitions = 1;
    config
}

/// Sends visits as plain messages, each under its page's name.
pub async fn send(client: &Memory, visits: impl IntoIterator<Item = Visit>) {
    let message = |visit: Visit| Message::on::<Visits>(&visit).unwrap().key(visit.page.as_str());
    Producer::new(client).send_all(visits.into_iter().map(message).collect()).await.unwrap();
}

/// Visits of one page, numbered.
pub fn numbered(page: &str, numbers: impl IntoIterator<Item = u32>) -> Vec<Visit> {
    numbers.into_iter().map(|n| visit(page, n)).collect()
}

/// Starts a worker, its topics made.
pub async fn start<In, Out>(
    builder: WorkerBuilder<In, Out, Work>,
    client: &Memory,
) -> RunningWorker {
    build(builder, client).start().await.unwrap()
}

pub fn build<In, Out>(builder: WorkerBuilder<In, Out, Work>, client: &Memory) -> Worker {
    builder.topics(CREATE).build(client).unwrap()
}

pub fn clean(report: &StopReport) {
    assert!(report.is_clean(), "{report:?}");
}

pub async fn stop(running: RunningConsumer) {
    clean(&running.stop(secs(5)).await);
}

/// Waits until no group has anything to read or to commit.
pub async fn quiet(broker: &MemoryBroker) {
    while !broker.backlog().is_empty() {
        broker.changed().await;
    }
}

/// Waits for a condition, in virtual time.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..100_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(ms(1)).await;
    }
    panic!("{what} did not happen");
}

/// The first partition of a topic.
pub fn first(topic: TopicName) -> TopicPartition {
    TopicPartition { topic, partition: 0 }
}

/// A number in the payloads of records, in order.
pub fn numbers(records: &[Received]) -> Vec<u64> {
    let number = |record: &Received| {
        let payload = record.payload.as_deref().expect("a payload");
        serde_json::from_slice::<serde_json::Value>(payload).unwrap()["n"].as_u64().unwrap()
    };
    records.iter().map(number).collect()
}

/// What was seen, in order.
pub struct Seen<T>(Arc<Mutex<Vec<T>>>);

impl<T> Clone for Seen<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Default for Seen<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T: Clone> Seen<T> {
    pub fn add(&self, item: T) {
        self.0.lock().unwrap().push(item);
    }

    pub fn all(&self) -> Vec<T> {
        self.0.lock().unwrap().clone()
    }
}
