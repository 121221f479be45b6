//! What follows from an event and cannot be published: it is kept and published later, and the handler is not called
//! again for it; what can never be published makes a dead letter.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use tidings::IntegrationEvent;
use tidings::consumer::{
    Attempt, Consumer, ConsumerBuilder, Event, FailureKind, HandlerError, RunningConsumer,
};
use tidings::event::{TopicName, header};
use tidings::mapper::Events;
use tidings::publisher::{BatchFailure, PublishError, Publisher};
use tidings::retry::RetryPolicy;
use tidings::transport::memory::{Fault, Memory, MemoryBroker, TopicConfig};
use tidings::transport::{ProduceError, TopicPartition, TopicSetup};

use crate::stage::*;

const PAYMENTS: TopicName = TopicName::from_static("paid");
const RECEIPTS: TopicName = TopicName::from_static("receipts");
const BOOKINGS: TopicName = TopicName::from_static("bookings");

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

/// What follows too, on a topic of its own.
#[derive(Debug, Clone, Serialize, Deserialize, IntegrationEvent)]
#[event(name = "booking", topic = "bookings", key = key)]
struct Booking {
    key: String,
    n: u32,
}

/// Calls of a handler, with the attempt that each was told.
#[derive(Clone, Default)]
struct Calls(Arc<Mutex<Vec<(u32, u32)>>>);

impl Calls {
    fn add(&self, n: u32, attempt: u32) {
        self.0.lock().unwrap().push((n, attempt));
    }

    fn all(&self) -> Vec<(u32, u32)> {
        self.0.lock().unwrap().clone()
    }
}

fn printer() -> ConsumerBuilder {
    Consumer::builder("printer")
        .retry(RetryPolicy::tiers([secs(5), secs(60)]).immediate(1))
        .topics(TopicSetup::Create { partitions: Some(2), replication: None })
}

/// A consumer that answers a receipt to each payment; `begins` hears of each call.
fn answering(calls: &Calls, begins: impl Fn(u32) + Send + Sync + 'static) -> ConsumerBuilder {
    let (calls, begins) = (calls.clone(), Arc::new(begins));
    printer().handle_named("print", move |Event(paid): Event<Paid>, Attempt(attempt): Attempt| {
        calls.add(paid.n, attempt);
        begins(paid.n);
        std::future::ready(Ok::<_, HandlerError>(receipt(paid)))
    })
}

async fn start(builder: ConsumerBuilder, client: &Memory) -> RunningConsumer {
    builder.build(client).unwrap().start().await.unwrap()
}

async fn pay(broker: &MemoryBroker, numbers: impl IntoIterator<Item = u32>) {
    let shop = Publisher::new(&broker.client("shop").unwrap());
    shop.publish_all(numbers.into_iter().map(paid)).await.unwrap();
}

/// A broker that makes no topic by itself, with those of payments; others are missing.
async fn strict(missing: &[TopicName]) -> (MemoryBroker, Memory) {
    let broker = MemoryBroker::builder().auto_create(false).build();
    for topic in [PAYMENTS, RECEIPTS, BOOKINGS] {
        if !missing.contains(&topic) {
            broker.create_topic(topic, TopicConfig::default());
        }
    }
    let client = broker.client("printer").unwrap();
    (broker, client)
}

fn is_held(running: &RunningConsumer, why: &str) -> bool {
    let problems = running.status().problems();
    let says = |problem: &String| {
        problem.contains("what \"print\" answered cannot be published") && problem.contains(why)
    };
    !running.status().is_ready() && problems.iter().any(says)
}

async fn until(mut holds: impl FnMut() -> bool) {
    for _ in 0..10_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(secs(1)).await;
    }
    panic!("it did not come about");
}

/// The topics beside that of payments on which something lies.
fn aside(broker: &MemoryBroker) -> Vec<String> {
    let topics = broker.topics().into_iter().map(|(name, _)| name);
    let aside = topics
        .filter(|name| name.as_str().starts_with("paid.") && !broker.records(name).is_empty());
    aside.map(|name| name.to_string()).collect()
}

/// The receipts' numbers by key, as they lie there.
fn receipts(broker: &MemoryBroker) -> BTreeMap<String, Vec<u32>> {
    let mut of_key: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for record in broker.records(&RECEIPTS) {
        let Receipt { key, n, .. } = serde_json::from_slice(&record.payload.unwrap()).unwrap();
        of_key.entry(key).or_default().push(n);
    }
    of_key
}

fn ids(broker: &MemoryBroker, topic: &TopicName) -> Vec<String> {
    let id = |headers: &tidings::event::Headers| headers.get_str(header::ID).unwrap().to_owned();
    broker.records(topic).iter().map(|record| id(&record.headers)).collect()
}

fn in_order(events: u32) -> BTreeMap<String, Vec<u32>> {
    let mut of_key: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    (0..events).map(paid).for_each(|paid| of_key.entry(paid.key).or_default().push(paid.n));
    of_key
}

/// Nothing was moved or given up, and all is well again.
fn untouched(running: &RunningConsumer, broker: &MemoryBroker) {
    let counts = running.status().counts();
    assert_eq!((counts.retried(), counts.dead_lettered(), counts.dropped()), (0, 0, 0));
    assert_eq!(aside(broker), [""; 0]);
    assert_eq!(running.status().problems(), [""; 0]);
    assert!(running.status().is_ready());
}

#[tokio::test(start_paused = true)]
async fn what_is_answered_while_the_broker_is_away_is_published_later_once_and_in_order() {
    let broker = MemoryBroker::new();
    let client = broker.client("printer").unwrap();
    let (calls, gone) = (Calls::default(), broker.clone());
    let goes = move |n| {
        if n == 7 && gone.faults() == 0 {
            gone.inject(Fault::BrokerGone(secs(300)));
        }
    };
    let running = start(answering(&calls, goes), &client).await;
    pay(&broker, 0..20).await;
    until(|| is_held(&running, "no acknowledgement within 30s")).await;
    assert!(running.status().counts().handled() < 20);
    until(|| running.status().counts().handled() == 20).await;
    assert_eq!(receipts(&broker), in_order(20));
    let mut called = calls.all();
    called.sort_unstable();
    assert_eq!(called, (0..20).map(|n| (n, 1)).collect::<Vec<_>>(), "each was called once");
    until(|| running.status().is_ready()).await;
    untouched(&running, &broker);
    quiet(&broker).await;
    assert!(running.stop(secs(5)).await.is_clean());
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_an_acknowledgement_is_published_again_under_its_id_until_it_has_one() {
    const LOST: usize = 6;
    let broker = MemoryBroker::new();
    let client = broker.client("printer").unwrap();
    let (calls, failing) = (Calls::default(), broker.clone());
    let times_out = move |n| {
        for _ in 0..if n == 1 { LOST } else { 0 } {
            failing.inject(Fault::ProduceTimesOut { stored: true });
        }
    };
    let running = start(answering(&calls, times_out), &client).await;
    pay(&broker, [1, 6]).await;
    until(|| running.status().counts().handled() == 2).await;
    // More often than retries and tiers together would have tried.
    assert_eq!(calls.all(), [(1, 1), (6, 1)]);
    let ids = ids(&broker, &RECEIPTS);
    assert_eq!(ids.len(), LOST + 2);
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 2, "{ids:?}");
    assert!(ids[..=LOST].iter().all(|id| *id == ids[0]), "the next of its key comes behind it");
    untouched(&running, &broker);
}

#[tokio::test(start_paused = true)]
async fn what_goes_to_a_missing_topic_waits_for_it_and_what_was_acknowledged_is_not_published_again()
 {
    let (broker, client) = strict(&[RECEIPTS]).await;
    let calls = Calls::default();
    let count = calls.clone();
    let print = move |Event(paid): Event<Paid>, Attempt(attempt): Attempt| {
        count.add(paid.n, attempt);
        let booking = Booking { key: paid.key.clone(), n: paid.n };
        let events = Events::one(booking.clone()).and(receipt(paid)).and(booking);
        std::future::ready(Ok::<_, HandlerError>(events))
    };
    let running = start(printer().handle_named("print", print), &client).await;
    pay(&broker, [1]).await;
    until(|| is_held(&running, "nothing can be written to receipts")).await;
    tokio::time::sleep(secs(600)).await;
    assert!(is_held(&running, "there is no such topic"), "however long it takes");
    let booked = ids(&broker, &BOOKINGS);
    assert_eq!(booked.len(), 2);
    broker.create_topic(RECEIPTS, TopicConfig::default());
    until(|| running.status().counts().handled() == 1).await;
    assert_eq!((calls.all(), ids(&broker, &RECEIPTS).len()), (vec![(1, 1)], 1));
    assert_eq!(ids(&broker, &BOOKINGS), booked);
    pay(&broker, [2]).await;
    until(|| running.status().counts().handled() == 2).await;
    until(|| running.status().is_ready()).await;
    untouched(&running, &broker);
}

#[tokio::test(start_paused = true)]
async fn a_stop_meanwhile_leaves_the_event_uncommitted_and_it_runs_again_at_the_next_start() {
    let (broker, client) = strict(&[RECEIPTS]).await;
    let calls = Calls::default();
    let running = start(answering(&calls, |_| {}), &client).await;
    pay(&broker, [1, 6]).await;
    let paid = ids(&broker, &PAYMENTS);
    until(|| is_held(&running, "receipts")).await;
    let began = tokio::time::Instant::now();
    let report = running.stop(secs(20)).await;
    assert!(began.elapsed() < secs(5), "it is given up at once: {:?}", began.elapsed());
    assert_eq!(report.unfinished[..], paid[..1], "the one behind it had not begun");
    let committed = |broker: &MemoryBroker| {
        let of = |(partition, _)| TopicPartition { topic: PAYMENTS, partition };
        let ends = broker.ends(&PAYMENTS).into_iter();
        ends.filter_map(|end| broker.committed("printer", &of(end))).sum::<i64>()
    };
    assert_eq!(committed(&broker), 0);
    broker.create_topic(RECEIPTS, TopicConfig::default());
    let running = start(answering(&calls, |_| {}), &client).await;
    until(|| running.status().counts().handled() == 2).await;
    assert_eq!(calls.all(), [(1, 1), (1, 1), (6, 1)]);
    untouched(&running, &broker);
    assert!(running.stop(secs(5)).await.is_clean());
    assert_eq!(committed(&broker), 2);
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
        count.add(paid.n, attempt);
        let text = "x".repeat(5_000);
        std::future::ready(Ok::<_, HandlerError>(Receipt { text, ..receipt(paid) }))
    };
    // What is said of such errors is for handlers that publish by themselves.
    let builder = printer().handle_named("print", print).classify(later).classify(again);
    let running = start(builder, &client).await;
    pay(&broker, [1]).await;
    until(|| running.status().counts().dead_lettered() == 1).await;
    assert_eq!(calls.all(), [(1, 1)]);
    assert_eq!(aside(&broker), ["paid.dlq"]);
    let dead = broker.records(&TopicName::from_static("paid.dlq"));
    let said = |name| dead[0].headers.get_str(name).unwrap();
    assert_eq!(said(header::ERROR_KIND), "permanent");
    assert!(said(header::ERROR_MESSAGE).contains("max.message.bytes"));
    assert!(running.status().is_ready());
}

fn later(_: &ProduceError) -> FailureKind {
    FailureKind::Outage
}

fn again(_: &BatchFailure) -> FailureKind {
    FailureKind::Transient
}

#[tokio::test(start_paused = true)]
async fn what_a_handler_publishes_itself_is_its_own_failure() {
    let (broker, client) = strict(&[RECEIPTS]).await;
    let calls = Calls::default();
    let count = calls.clone();
    let print = move |Event(paid): Event<Paid>, publisher: Publisher, Attempt(n): Attempt| {
        count.add(paid.n, n);
        async move { publisher.publish(receipt(paid)).await.map(drop) }
    };
    let retry = RetryPolicy::none().immediate(1);
    let running = start(printer().handle_named("print", print).retry(retry), &client).await;
    pay(&broker, [1]).await;
    until(|| running.status().counts().dead_lettered() == 1).await;
    assert_eq!(calls.all(), [(1, 1), (1, 2)]);
    let error = Publisher::new(&client).publish(receipt(paid(1))).await.unwrap_err();
    let PublishError::NotAcknowledged { source, .. } = error else { panic!("{error}") };
    assert!(matches!(source, ProduceError::Unwritable { .. }), "{source}");
}
