//! What follows from an event and cannot be published: kept while the broker is away, else a dead letter.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use tidings::IntegrationEvent;
use tidings::consumer::{
    Attempt, ConsumerBuilder, Event, FailureKind, HandlerError, RunningConsumer,
};
use tidings::event::TopicName;
use tidings::publisher::{BatchFailure, Publisher};
use tidings::retry::RetryPolicy;
use tidings::transport::memory::{Fault, MemoryBroker, TopicConfig};
use tidings::transport::{ProduceError, TopicSetup};

use crate::stage::*;

const RECEIPTS: TopicName = TopicName::from_static("receipts");

/// What follows from [`Paid`].
#[derive(Debug, Clone, Serialize, Deserialize, IntegrationEvent)]
#[event(name = "receipt", topic = "receipts", key = key)]
struct Receipt {
    key: String,
    n: u32,
    text: String,
}

fn receipt(Paid { key, n }: Paid) -> Receipt {
    Receipt { key, n, text: String::new() }
}

/// Calls of a handler, with the attempt that each was told.
type Calls = Arc<Mutex<Vec<(u32, u32)>>>;

fn calls_of(calls: &Calls, n: u32) -> usize {
    calls.lock().unwrap().iter().filter(|(called, _)| *called == n).count()
}

fn consumer() -> ConsumerBuilder {
    tidings::consumer::Consumer::builder("printer")
        .retry(RetryPolicy::tiers([secs(5), secs(60)]).immediate(0))
        .topics(TopicSetup::Create { partitions: Some(2), replication: None })
}

/// A consumer that answers a receipt to each payment; `begins` hears of each call.
fn answering(calls: &Calls, begins: impl Fn(u32) + Send + Sync + 'static) -> ConsumerBuilder {
    let (calls, begins) = (calls.clone(), Arc::new(begins));
    consumer().handle_named("print", move |Event(paid): Event<Paid>, Attempt(attempt): Attempt| {
        let (calls, begins) = (calls.clone(), begins.clone());
        async move {
            calls.lock().unwrap().push((paid.n, attempt));
            begins(paid.n);
            Ok::<_, HandlerError>(receipt(paid))
        }
    })
}

/// What lies on the topics for what failed.
fn failed(broker: &MemoryBroker) -> Vec<String> {
    let topics = broker.topics().into_iter().map(|(name, _)| name);
    let aside = topics
        .filter(|name| name.as_str().starts_with("paid.") && !broker.records(name).is_empty());
    aside.map(|name| name.to_string()).collect()
}

/// The numbers of the receipts of each key, in their order; one after another the same one counts once.
fn receipts(broker: &MemoryBroker) -> BTreeMap<String, Vec<u32>> {
    let mut of_key: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for record in broker.records(&RECEIPTS) {
        let Receipt { key, n, .. } = serde_json::from_slice(&record.payload.unwrap()).unwrap();
        of_key.entry(key).or_default().push(n);
    }
    of_key.values_mut().for_each(Vec::dedup);
    of_key
}

fn in_order(events: u32) -> BTreeMap<String, Vec<u32>> {
    let mut of_key: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    (0..events).map(paid).for_each(|paid| of_key.entry(paid.key).or_default().push(paid.n));
    of_key
}

fn untouched(running: &RunningConsumer, broker: &MemoryBroker) {
    let counts = running.status().counts();
    assert_eq!((counts.retried(), counts.dead_lettered(), counts.dropped()), (0, 0, 0));
    assert_eq!(failed(broker), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn what_is_answered_while_the_broker_is_away_costs_no_attempt_and_comes_in_order() {
    let broker = MemoryBroker::new();
    let client = broker.client("printer").unwrap();
    let (calls, gone) = (Calls::default(), broker.clone());
    let goes = move |n| {
        if n == 7 && gone.faults() == 0 {
            gone.inject(Fault::BrokerGone(secs(300)));
        }
    };
    let running = answering(&calls, goes).build(&client).unwrap().start().await.unwrap();
    let publisher = Publisher::new(&broker.client("shop").unwrap());
    publisher.publish_all((0..20).map(paid)).await.unwrap();
    while calls_of(&calls, 7) < 2 {
        tokio::time::sleep(secs(1)).await;
    }
    let problems = running.status().problems();
    assert!(problems.iter().any(|problem| problem.contains("reports an outage")), "{problems:?}");
    quiet(&broker).await;
    while running.status().counts().handled() < 20 {
        tokio::time::sleep(secs(1)).await;
    }
    assert_eq!(receipts(&broker), in_order(20));
    untouched(&running, &broker);
    let calls = calls.lock().unwrap().clone();
    assert!(calls.iter().all(|(_, attempt)| *attempt == 1), "{calls:?}");
    assert_eq!(running.status().problems(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_gets_no_acknowledgement_is_tried_until_it_gets_one() {
    let broker = MemoryBroker::new();
    let client = broker.client("printer").unwrap();
    let publisher = Publisher::new(&broker.client("shop").unwrap());
    let calls = Calls::default();
    let failing = broker.clone();
    let times_out = move |_| failing.inject(Fault::ProduceTimesOut { stored: false });
    let (count, times_out) = (calls.clone(), Arc::new(times_out));
    let begins = move |n| {
        if calls_of(&count, n) <= 6 {
            times_out(n);
        }
    };
    let running = answering(&calls, begins).build(&client).unwrap().start().await.unwrap();
    publisher.publish(paid(1)).await.unwrap();
    while running.status().counts().handled() == 0 {
        tokio::time::sleep(secs(1)).await;
    }
    // More often than retries and tiers together would have tried.
    assert_eq!(*calls.lock().unwrap(), [(1, 1); 7]);
    assert_eq!(receipts(&broker), BTreeMap::from([(paid(1).key, vec![1])]));
    untouched(&running, &broker);
}

/// A handler that publishes by itself, and tells what that says.
async fn publishing(Event(paid): Event<Paid>, publisher: Publisher) -> Result<(), HandlerError> {
    publisher.publish(receipt(paid)).await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_a_handler_publishes_itself_costs_no_attempt_either_even_where_its_time_is_short() {
    // The second is cut off before its publisher gives up.
    for timeout in [secs(60), secs(2)] {
        let broker = MemoryBroker::new();
        let client = broker.client("printer").unwrap();
        let builder = consumer().handle_named("print", publishing).handler_timeout(timeout);
        let gone = broker.clone();
        let builder = builder.on_record(move |_, _| {
            if gone.faults() == 0 {
                gone.inject(Fault::BrokerGone(secs(200)));
            }
        });
        let running = builder.build(&client).unwrap().start().await.unwrap();
        Publisher::new(&broker.client("shop").unwrap()).publish(paid(1)).await.unwrap();
        while running.status().counts().handled() == 0 {
            tokio::time::sleep(secs(1)).await;
        }
        assert_eq!(receipts(&broker), BTreeMap::from([(paid(1).key, vec![1])]));
        untouched(&running, &broker);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_can_never_be_published_makes_a_dead_letter_of_its_event_at_once() {
    let broker = MemoryBroker::new();
    let mut small = TopicConfig::default();
    small.max_record = 500;
    broker.create_topic(RECEIPTS, small);
    let client = broker.client("printer").unwrap();
    let calls = Calls::default();
    let count = calls.clone();
    let print = move |Event(paid): Event<Paid>, Attempt(attempt): Attempt| {
        count.lock().unwrap().push((paid.n, attempt));
        let text = "x".repeat(5_000);
        std::future::ready(Ok::<_, HandlerError>(Receipt { text, ..receipt(paid) }))
    };
    let retry = RetryPolicy::tiers([secs(5)]).immediate(2);
    let builder = consumer().handle_named("print", print).retry(retry);
    let running = builder.build(&client).unwrap().start().await.unwrap();
    Publisher::new(&broker.client("shop").unwrap()).publish(paid(1)).await.unwrap();
    while running.status().counts().dead_lettered() == 0 {
        tokio::time::sleep(secs(1)).await;
    }
    assert_eq!(*calls.lock().unwrap(), [(1, 1)]);
    assert_eq!(failed(&broker), ["paid.dlq"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_consumer_was_told_of_a_failed_publish_stands() {
    let broker = MemoryBroker::new();
    let client = broker.client("printer").unwrap();
    let (calls, failing) = (Calls::default(), broker.clone());
    let builder =
        answering(&calls, move |_| failing.inject(Fault::ProduceTimesOut { stored: false }));
    let builder = builder
        .retry(RetryPolicy::none().immediate(1))
        .classify(|_: &ProduceError| FailureKind::Permanent)
        .classify(|_: &BatchFailure| FailureKind::Transient);
    let running = builder.build(&client).unwrap().start().await.unwrap();
    Publisher::new(&broker.client("shop").unwrap()).publish(paid(1)).await.unwrap();
    while running.status().counts().dead_lettered() == 0 {
        tokio::time::sleep(secs(1)).await;
    }
    assert_eq!(calls_of(&calls, 1), 2, "once, and once again in place");
}
