//! The event that behaviours publish and consume, and a consumer that notes what it gets.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;

use super::behaviour::{Failure, Verdict, holds};
use super::trial::{Client, Trial};
use crate::consumer::{Consumer, Delivery, Event, HandlerError, RunningConsumer, TopicSetup};
use crate::event::{IntegrationEvent, InvalidKey, PartitionKey, TopicName};
use crate::publisher::{Published, Publisher};
use crate::retry::RetryPolicy;
use crate::transport::Received;

/// How many partitions the topics of consumers have.
pub(super) const PARTITIONS: i32 = 2;

tokio::task_local! {
    /// The topics that a consumer that is being built subscribes to: a type says only its own.
    static TOPICS: Vec<TopicName>;
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Happened {
    pub(super) key: String,
    pub(super) n: usize,
    /// Where it goes, and nothing that it says.
    #[serde(skip, default = "nowhere")]
    topic: TopicName,
}

fn nowhere() -> TopicName {
    TopicName::from_static("nowhere")
}

impl Happened {
    pub(super) fn new(topic: &TopicName, key: &str, n: usize) -> Self {
        Self { key: key.into(), n, topic: topic.clone() }
    }
}

impl IntegrationEvent for Happened {
    const NAME: &'static str = "conformance_happened";

    fn topics() -> Vec<TopicName> {
        TOPICS.try_with(Clone::clone).unwrap_or_default()
    }

    fn topic(&self) -> TopicName {
        self.topic.clone()
    }

    fn partition_key(&self) -> Result<Option<PartitionKey>, InvalidKey> {
        PartitionKey::new(self.key.as_str()).map(Some)
    }
}

/// Publishes events in order, each once the one before is acknowledged.
pub(super) async fn publish(client: &Client, events: Vec<Happened>) -> Verdict<Vec<Published>> {
    let publisher = Publisher::new(&**client);
    let mut published = Vec::with_capacity(events.len());
    for event in events {
        let one = publisher.publish(event).await;
        published.push(one.map_err(Failure::of("an event is published"))?);
    }
    Ok(published)
}

/// One call of a handler.
#[derive(Debug, Clone)]
pub(super) struct Ran {
    pub(super) key: String,
    pub(super) n: usize,
    pub(super) attempt: u32,
    pub(super) record: Received,
    pub(super) at: Instant,
}

/// What a handler answers to an event.
pub(super) type Answer = BoxFuture<'static, Result<(), HandlerError>>;

/// The calls of a handler, in order.
#[derive(Clone)]
pub(super) struct Notes {
    ran: Arc<Mutex<Vec<Ran>>>,
    changes: Arc<watch::Sender<u64>>,
}

impl Notes {
    pub(super) fn new(trial: &Trial) -> Self {
        Self { ran: Arc::default(), changes: trial.changes() }
    }

    fn add(&self, ran: Ran) {
        self.ran.lock().unwrap_or_else(PoisonError::into_inner).push(ran);
        self.changes.send_modify(|changes| *changes += 1);
    }

    pub(super) fn all(&self) -> Vec<Ran> {
        self.ran.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn len(&self) -> usize {
        self.ran.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The numbers of the events, in the order of the calls.
    pub(super) fn numbers(&self) -> Vec<usize> {
        self.all().iter().map(|ran| ran.n).collect()
    }
}

/// A handler that has nothing against any event.
pub(super) fn fine(_: &Ran) -> Answer {
    Box::pin(std::future::ready(Ok(())))
}

/// Starts a consumer with one handler, and waits until it has its partitions.
pub(super) async fn consume(
    trial: &Trial,
    client: &Client,
    (group, topic): (&str, &TopicName),
    retry: RetryPolicy,
    notes: &Notes,
    answer: impl Fn(&Ran) -> Answer + Send + Sync + 'static,
) -> Verdict<RunningConsumer> {
    let notes = notes.clone();
    let handler = move |Event(event): Event<Happened>, delivery: Delivery| {
        let ran = Ran {
            key: event.key,
            n: event.n,
            attempt: delivery.attempt(),
            record: delivery.record().clone(),
            at: Instant::now(),
        };
        let answer = answer(&ran);
        notes.add(ran);
        answer
    };
    let builder = Consumer::builder(group);
    let builder = TOPICS.sync_scope(vec![topic.clone()], || builder.handle_named("notes", handler));
    let consumer = builder
        .retry(retry)
        .handler_timeout(trial.limits().behaviour)
        .topics(TopicSetup::Create { partitions: Some(PARTITIONS), replication: None })
        .build(client)
        .map_err(Failure::of("a consumer is built"))?;
    let running = consumer.start().await.map_err(Failure::of("a consumer starts"))?;
    let status = running.status().clone();
    let ready = || (status.partitions() > 0 && status.is_ready()).then_some(());
    trial.until("a consumer is ready", &[], ready).await?;
    Ok(running)
}

/// Stops a consumer, and fails unless it leaves nothing behind.
pub(super) async fn stop(trial: &Trial, running: RunningConsumer) -> Verdict {
    let report = running.stop(trial.limits().patience).await;
    holds("a stop leaves nothing behind", report.is_clean(), &report)
}

/// Two tiers, nothing in place.
pub(super) fn two_tiers(trial: &Trial) -> (RetryPolicy, [Duration; 2]) {
    let first = trial.limits().tier;
    (RetryPolicy::tiers([first, 2 * first]).immediate(0), [first, 2 * first])
}
