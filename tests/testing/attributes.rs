//! What the attributes on functions make: consumers, workers and producers as by hand.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidings::consumer::{Event, HandlerError, State, TopicSetup, Value};
use tidings::event::{TopicName, header};
use tidings::producer::{MessageKey, Producer};
use tidings::testing::TestKit;
use tidings::worker::{Item, RunningWorker, Worker};
use tidings::{IntegrationEvent, Topic, consumer, producer, worker};
use tokio::time::Instant;

#[derive(Topic)]
#[topic(kind = event, name = "attributes.orders", carries(Placed, Line), replication = auto)]
struct Orders;

#[derive(Topic)]
#[topic(kind = event, name = "attributes.bills", carries(Bill), replication = auto)]
struct Bills;

#[derive(Topic)]
#[topic(kind = event, name = "attributes.failed", profile = dlq, partitions = 2, replication = auto)]
struct Failed;

#[derive(Debug, Serialize, Deserialize, IntegrationEvent)]
#[event(key = order, topic = Orders)]
struct Placed {
    order: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Line {
    order: String,
    pens: u32,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Bill {
    order: String,
}

/// What was seen, and when.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<(String, Instant)>>>);

impl Seen {
    fn add(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push((what.into(), Instant::now()));
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().map(|(what, _)| what.clone()).collect()
    }

    /// The whole milliseconds between one and the next.
    fn waits(&self) -> Vec<u128> {
        let seen = self.0.lock().unwrap();
        seen.windows(2).map(|two| (two[1].1 - two[0].1).as_millis()).collect()
    }
}

fn placed(order: &str) -> Placed {
    Placed { order: order.into() }
}

#[producer(topic = Orders)]
async fn place(order: &str) -> Placed {
    placed(order)
}

#[producer(topic = "attributes.elsewhere")]
async fn place_elsewhere(Placed { order }: Placed) -> Placed {
    Placed { order }
}

#[producer]
async fn place_if<E>(order: Result<String, E>) -> Result<Placed, E>
where
    E: std::error::Error + Send + Sync + 'static,
{
    Ok(Placed { order: order? })
}

#[producer(topic = Orders, key = order)]
async fn add_line(order: &str, producer: u32) -> Line {
    Line { order: order.into(), pens: producer }
}

fn first_letter(line: &Line) -> MessageKey {
    line.order[..1].into()
}

#[producer(topic = "attributes.lines", key_with = first_letter)]
async fn line_by_letter(line: Line) -> Line {
    line
}

#[producer(topic = "attributes.lines", unkeyed)]
async fn line_anywhere(line: Line) -> std::io::Result<Line> {
    Ok(line)
}

/// What a crate may call its results.
type Outcome<T = Line> = Result<T, std::fmt::Error>;
type Placing = Outcome<Placed>;
type Order = Placed;

#[producer]
async fn place_under_an_alias(order: Outcome<&str>) -> Placing {
    Ok(Placed { order: order?.into() })
}

#[producer(topic = Orders)]
async fn place_an_order(order: &str) -> Order {
    placed(order)
}

#[producer(topic = Orders, key = order)]
async fn line_under_an_alias(pens: Option<u32>) -> Outcome {
    Ok(Line { order: "aliased".into(), pens: pens.ok_or(std::fmt::Error)? })
}

#[tokio::test(start_paused = true)]
async fn what_is_answered_is_known_by_its_type_and_not_by_how_it_is_written() {
    let kit = TestKit::new();
    let (publisher, producer) = (kit.publisher("shop"), Producer::new(&kit.transport("shop")));
    place_under_an_alias::publish(&publisher, Ok("1")).await.unwrap();
    let failed = place_under_an_alias::publish(&publisher, Err(std::fmt::Error)).await.unwrap_err();
    assert!(failed.is::<std::fmt::Error>(), "the function's own error");
    let placed: Result<_, tidings::publisher::PublishError> =
        place_an_order::publish(&publisher, "2").await;
    placed.unwrap();
    line_under_an_alias::send(&producer, Some(3)).await.unwrap();
    let failed = line_under_an_alias::send(&producer, None).await.unwrap_err();
    assert!(failed.is::<std::fmt::Error>(), "the function's own error");
    let records = kit.broker().records(&Orders::NAME);
    assert_eq!(records.len(), 3);
    let line = records.iter().find(|record| record.key.as_deref() == Some(b"aliased")).unwrap();
    let line: Line = serde_json::from_slice(line.payload.as_deref().unwrap()).unwrap();
    assert_eq!(line, Line { order: "aliased".into(), pens: 3 }, "without the `Result` around it");
}

/// Names that are ordinary ones, and some that what is generated uses itself.
mod ordinary {
    use super::{Line, producer};

    fn message(line: &Line) -> String {
        line.order.clone()
    }

    fn value(line: &Line) -> String {
        line.order.clone()
    }

    #[producer(topic = "attributes.lines", unkeyed)]
    pub(super) async fn line(line: Line) -> Line {
        line
    }

    #[producer(topic = "attributes.lines", key_with = message)]
    pub(super) async fn by_message(value: &str) -> Line {
        Line { order: value.into(), pens: 1 }
    }

    #[producer(topic = "attributes.lines", key_with = value)]
    pub(super) async fn by_value(message: &str) -> Line {
        Line { order: message.into(), pens: 1 }
    }
}

#[tokio::test(start_paused = true)]
async fn names_of_arguments_and_functions_do_not_meet_those_of_the_attribute() {
    let kit = TestKit::new();
    let producer = Producer::new(&kit.transport("shop"));
    ordinary::line::send(&producer, Line { order: "1".into(), pens: 1 }).await.unwrap();
    ordinary::by_message::send(&producer, "2").await.unwrap();
    ordinary::by_value::send(&producer, "3").await.unwrap();
    let mut keys: Vec<_> = kit
        .broker()
        .records(&TopicName::from_static("attributes.lines"))
        .into_iter()
        .map(|record| record.key)
        .collect();
    keys.sort();
    assert_eq!(keys, [None, Some("2".into()), Some("3".into())]);
}

#[tokio::test(start_paused = true)]
async fn what_a_function_answers_is_acknowledged_where_its_attribute_says() {
    let kit = TestKit::new();
    let publisher = kit.publisher("shop");
    place::publish(&publisher, "1").await.unwrap();
    place_if::publish(&publisher, Ok::<_, std::fmt::Error>("2".into())).await.unwrap();
    let refused = place_if::publish(&publisher, Err(std::fmt::Error)).await.unwrap_err();
    assert!(refused.is::<std::fmt::Error>(), "the function's own error");
    place_elsewhere::publish(&publisher, placed("3")).await.unwrap();
    let count = |topic| kit.broker().records(&TopicName::from_static(topic)).len();
    assert_eq!((count("attributes.orders"), count("attributes.elsewhere")), (2, 1));
    assert_eq!(place("4").await.order, "4", "the function itself publishes nothing");
    assert_eq!(publisher.counts().acknowledged(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_has_a_key_by_attribute_is_a_plain_message() {
    let kit = TestKit::new();
    let producer = Producer::new(&kit.transport("shop"));
    let line = |order: &str| Line { order: order.into(), pens: 2 };
    let sent = add_line::send(&producer, "a1", 2).await.unwrap();
    line_by_letter::send(&producer, line("b1")).await.unwrap();
    line_anywhere::send(&producer, line("c1")).await.unwrap();
    let records = |topic| kit.broker().records(&TopicName::from_static(topic));
    let orders = records("attributes.orders");
    assert_eq!(orders[0].key.as_deref(), Some(&b"a1"[..]));
    assert_eq!(orders[0].headers.get_str(header::MESSAGE_ID), Some(&*sent.id.to_string()));
    assert_eq!(orders[0].headers.get(header::TYPE), None);
    let payload = orders[0].payload.as_deref().unwrap();
    assert_eq!(serde_json::from_slice::<Line>(payload).unwrap(), line("a1"));
    let mut keys: Vec<_> =
        records("attributes.lines").into_iter().map(|record| record.key).collect();
    keys.sort();
    assert_eq!(keys, [None, Some("b".into())]);
}

#[consumer(topic = Orders, group = "shipping", name = "ship-it")]
async fn ship(Event(order): Event<Placed>, State(seen): State<Seen>) -> Result<(), HandlerError> {
    seen.add(format!("ship {}", order.order));
    Ok(())
}

#[consumer]
async fn count(Event(order): Event<Placed>, State(seen): State<Seen>) -> Result<(), HandlerError> {
    seen.add(format!("count {}", order.order));
    Ok(())
}

#[consumer(topic = "attributes.lines", group = "lines")]
async fn note(Value(line): Value<Line>, State(seen): State<Seen>) -> Result<(), HandlerError> {
    seen.add(format!("{} pens", line.pens));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn handlers_are_registered_under_their_names_in_the_group_that_is_said() {
    let (kit, seen) = (TestKit::new(), Seen::default());
    let transport = kit.transport("warehouse");
    let both = count::register(ship::consumer()).state(seen.clone()).build(&transport).unwrap();
    assert_eq!(both.group(), "shipping");
    kit.start(both).await;
    kit.start(note::consumer().state(seen.clone()).build(&transport).unwrap()).await;
    kit.publish(placed("1")).await;
    let producer = Producer::new(&transport);
    line_anywhere::send(&producer, Line { order: "1".into(), pens: 5 }).await.unwrap();
    kit.settled().await;
    kit.expect::<Placed>().handled_by("ship-it", 1).handled_by("count", 1);
    let mut all = seen.all();
    all.sort();
    assert_eq!(all, ["5 pens", "count 1", "ship 1"]);
}

#[worker(
    topic = Orders,
    output = Bills,
    group = "billing",
    concurrency = 2,
    max_retries = 3,
    backoff = "linear:1s:cap=2s",
    dlq = Failed
)]
async fn bill(
    Value(line): Value<Line>,
    State(seen): State<Seen>,
) -> Result<Value<Bill>, HandlerError> {
    if line.pens == 0 {
        seen.add("again");
        return Err(HandlerError::transient("nothing to bill"));
    }
    Ok(Value(Bill { order: line.order }))
}

#[worker(topic = "attributes.lines", output = "attributes.copies", name = "copier", dlq = false)]
async fn copy(Value(line): Value<Line>) -> Result<Option<Value<Line>>, HandlerError> {
    Ok((line.pens > 0).then_some(Value(line)))
}

const AT_MOST: usize = 3;

#[worker(topic = "attributes.lines", batch = AT_MOST, wait = "1m30s")]
async fn batched(lines: Vec<Item<Value<Line>>>) -> Vec<Result<(), HandlerError>> {
    let state = lines[0].delivery.state::<Seen>().unwrap();
    state.add(lines.len().to_string());
    lines.iter().map(|_| Ok(())).collect()
}

async fn started(
    worker: tidings::worker::WorkerBuilder<impl Send, impl Send, tidings::worker::Work>,
    kit: &TestKit,
) -> RunningWorker {
    let setup = TopicSetup::Create { partitions: Some(1), replication: Some(1) };
    let worker: Worker = worker.topics(setup).build(&kit.transport("workers")).unwrap();
    worker.start().await.unwrap()
}

async fn until(condition: impl Fn() -> bool) {
    let waited = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(600), waited).await.expect("it comes to be");
}

#[tokio::test(start_paused = true)]
async fn a_worker_writes_where_it_says_and_retries_as_it_says() {
    let (kit, seen) = (TestKit::new(), Seen::default());
    let running = started(bill::worker().state(seen.clone()), &kit).await;
    assert_eq!(running.status().name(), "bill");
    let producer = Producer::new(&kit.transport("shop"));
    for pens in [0, 2] {
        add_line::send(&producer, "1", pens).await.unwrap();
    }
    let records = |topic| kit.broker().records(&TopicName::from_static(topic));
    until(|| records("attributes.bills").len() == 1).await;
    assert_eq!(seen.waits(), [1_000, 2_000, 2_000], "linear, up to its cap");
    let failed = records("attributes.failed");
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].headers.get_str(header::RETRY_GROUP), Some("billing"));
    let bill: Bill =
        serde_json::from_slice(records("attributes.bills")[0].payload.as_deref().unwrap()).unwrap();
    assert_eq!(bill, Bill { order: "1".into() });
    assert!(running.stop(Duration::from_secs(5)).await.is_clean());
}

#[tokio::test(start_paused = true)]
async fn a_worker_on_names_copies_and_one_that_batches_waits() {
    let (kit, seen) = (TestKit::new(), Seen::default());
    let copier = started(copy::worker(), &kit).await;
    let batches = started(batched::worker().state(seen.clone()), &kit).await;
    assert_eq!((copier.status().name(), batches.status().name()), ("copier", "batched"));
    let producer = Producer::new(&kit.transport("shop"));
    for pens in 0..4 {
        let line = Line { order: "1".into(), pens };
        line_by_letter::send(&producer, line).await.unwrap(); // to one partition
    }
    let copies = || kit.broker().records(&TopicName::from_static("attributes.copies")).len();
    until(|| copies() == 3 && seen.all().len() == 2).await;
    assert_eq!(seen.all(), ["3", "1"]);
    assert!((89_000..=91_000).contains(&seen.waits()[0]), "{:?}", seen.waits());
}

/// Attributes read backoffs by themselves; what they make of one is what the library makes of it.
macro_rules! backoffs {
    ($($name:ident: $text:literal),* $(,)?) => {
        $(
            #[worker(topic = "attributes.lines", max_retries = 4, backoff = $text, dlq = true)]
            async fn $name(_: Value<Line>, State(seen): State<Seen>) -> Result<(), HandlerError> {
                seen.add("again");
                Err(HandlerError::transient("always"))
            }
        )*

        #[tokio::test(start_paused = true)]
        async fn a_backoff_in_an_attribute_is_the_one_that_a_configuration_has() {
            let kit = TestKit::new();
            let producer = Producer::new(&kit.transport("shop"));
            line_anywhere::send(&producer, Line { order: "1".into(), pens: 1 }).await.unwrap();
            $(
                let seen = Seen::default();
                let running = started($name::worker().state(seen.clone()), &kit).await;
                until(|| seen.all().len() == 5).await;
                let backoff: tidings::retry::Backoff = $text.parse().unwrap();
                for (n, wait) in (1..).zip(seen.waits()) {
                    let longest = backoff.delay(n).as_millis();
                    let spread = $text.contains("jitter");
                    assert!(wait <= longest + 1, "{}: {wait} of {longest}", $text);
                    assert!(spread || wait + 1 >= longest, "{}: {wait} of {longest}", $text);
                }
                drop(running);
            )*
        }
    };
}

backoffs! {
    fixed: "fixed:1m30s",
    linear: "linear:250ms",
    exponential: "exponential:1s:cap=5s",
    spread: "exponential:1s:jitter=0.25:cap=1m30s",
    jittered: "fixed:20s:jitter",
}
