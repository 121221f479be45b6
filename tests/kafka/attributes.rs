//! What attributes on functions make, on a real Kafka.
//!
//! An attribute's topics and groups are written in it, so they are not of this run alone: each test looks only at
//! orders of its own.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidings::consumer::*;
use tidings::event::{EventId, Flow, TopicName, header};
use tidings::producer::Producer;
use tidings::publisher::Publisher;
use tidings::transport::kafka::Kafka;
use tidings::transport::{Delivered, Received};
use tidings::{IntegrationEvent, Topic, consumer, producer, worker};

use crate::inspect::{Inspector, delete};
use crate::stage::*;
use crate::support::*;

#[derive(Topic)]
#[topic(kind = event, name = "attributes.kafka.orders", carries(Placed), partitions = 3, replication = auto)]
struct Orders;

#[derive(Topic)]
#[topic(kind = event, name = "attributes.kafka.lines", carries(Line), partitions = 1, replication = auto)]
struct Lines;

/// Of lines that no worker reads.
#[derive(Topic)]
#[topic(kind = event, name = "attributes.kafka.notes", carries(Line), partitions = 1, replication = auto)]
struct Notes;

#[derive(Topic)]
#[topic(kind = event, name = "attributes.kafka.bills", carries(Bill), partitions = 1, replication = auto)]
struct Bills;

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
    amount: u32,
}

/// A client that commits soon, and soon gives up what the broker does not take.
fn hasty(service: &str, broker: &str) -> Kafka {
    let soon = Duration::from_secs(2);
    let config = config(service, broker)
        .message_timeout(soon)
        .delivery_wait(soon)
        .commit_every(1_u32)
        .commit_interval(Duration::from_millis(100));
    Kafka::connect(config).unwrap()
}

/// An order that no other test and no other run has.
fn order() -> String {
    unique("order")
}

#[producer(topic = Orders)]
async fn place(order: &str) -> Placed {
    Placed { order: order.into() }
}

#[producer(topic = Lines, key = order)]
async fn add_line(order: &str, pens: u32) -> Result<Line, std::num::TryFromIntError> {
    Ok(Line { order: order.into(), pens })
}

#[producer(topic = Notes, key_with = noted_under)]
async fn note_line(line: Line) -> Line {
    line
}

fn noted_under(line: &Line) -> &str {
    &line.order
}

/// What lies at a place.
async fn at(broker: &str, kafka: &Kafka, topic: &TopicName, place: Delivered) -> Received {
    let all = Inspector::new(broker, "none").read_all(kafka, topic).await;
    let mut found = all.into_iter();
    found.find(|r| (r.partition, r.offset) == (place.partition, place.offset)).unwrap()
}

/// Those of an order, in order.
async fn of_order(broker: &str, kafka: &Kafka, topic: &TopicName, order: &str) -> Vec<Received> {
    let all = Inspector::new(broker, "none").read_all(kafka, topic).await;
    all.into_iter().filter(|record| record.key.as_deref() == Some(order.as_bytes())).collect()
}

fn json<T: serde::de::DeserializeOwned>(record: &Received) -> T {
    serde_json::from_slice(record.payload.as_deref().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_attributed_producer_answers_lies_at_the_broker_with_its_key_id_and_headers() {
    let Some(broker) = kafka_address() else { return };
    let (kafka, order) = (client("attributes-shop", &broker), order());
    let topics = [Orders::spec(), Notes::spec()];
    Publisher::prepare_topics(&kafka, topics, create(1), SOON).await.unwrap();
    let correlation = EventId::parse(&unique("request")).unwrap();
    let flow = Flow { correlation_id: Some(correlation.clone()), ..Flow::default() };
    let line = Line { order: order.clone(), pens: 3 };
    let (publisher, producer) = (Publisher::new(&kafka), Producer::new(&kafka));
    let (placed, added) = flow
        .scope(async {
            let placed = place::publish(&publisher, &order).await.unwrap();
            (placed, note_line::send(&producer, line).await.unwrap())
        })
        .await;

    let event = at(&broker, &kafka, &Orders::NAME, placed.delivered).await;
    assert_eq!(event.key.as_deref(), Some(order.as_bytes()));
    assert_eq!(json::<Placed>(&event).order, order);
    let of_event = |name| event.headers.get_str(name);
    assert_eq!(of_event(header::ID), Some(&*placed.id.to_string()));
    assert_eq!(of_event(header::TYPE), Some(Placed::NAME));
    assert_eq!(of_event(header::SOURCE), Some("attributes-shop"));
    assert_eq!(of_event(header::CORRELATION_ID), Some(&*correlation.to_string()));

    let message = at(&broker, &kafka, &Notes::NAME, added.delivered).await;
    assert_eq!(message.key.as_deref(), Some(order.as_bytes()));
    assert_eq!(json::<Line>(&message), Line { order, pens: 3 });
    let of_message = |name| message.headers.get_str(name);
    assert_eq!(of_message(header::MESSAGE_ID), Some(&*added.id.to_string()));
    assert_eq!(of_message(header::PLAIN_CORRELATION_ID), Some(&*correlation.to_string()));
    assert_eq!(of_message(header::CONTENT_TYPE), Some("application/json"));
    assert_eq!(of_message(header::TYPE), None, "it is no event");
}

/// A call of a handler: its name, its order, and which attempt it was.
type Calls = Seen<(&'static str, String, u32)>;

#[consumer(topic = Orders, group = "attributes.kafka.shipping", name = "ship-it")]
async fn ship(
    Event(placed): Event<Placed>,
    State(calls): State<Calls>,
    delivery: Delivery,
) -> Result<(), HandlerError> {
    calls.add(("ship", placed.order, delivery.attempt()));
    Ok(())
}

#[consumer(topic = Orders, group = "attributes.kafka.charging")]
async fn charge(
    Event(placed): Event<Placed>,
    State(calls): State<Calls>,
    State(Refused(refused)): State<Refused>,
    delivery: Delivery,
) -> Result<(), HandlerError> {
    calls.add(("charge", placed.order.clone(), delivery.attempt()));
    match placed.order == refused {
        true => Err(HandlerError::transient("the bank is closed")),
        false => Ok(()),
    }
}

/// The order that cannot be paid.
#[derive(Clone)]
struct Refused(String);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attributed_consumers_of_two_groups_get_each_event_and_the_one_that_fails_retries_and_gives_up()
 {
    let Some(broker) = kafka_address() else { return };
    let (kafka, calls) = (hasty("attributes-orders", &broker), Calls::default());
    let (good, bad) = (order(), order());
    let tier = Duration::from_millis(300);
    let shipping = ship::consumer().state(calls.clone()).members(2).topics(create(3));
    let shipping = shipping.retry(tiers([tier])).start_on(&kafka).await;
    let charging = charge::consumer().state(calls.clone()).state(Refused(bad.clone()));
    let charging = charging.topics(create(3)).retry(tiers([tier])).start_on(&kafka).await;
    let publisher = Publisher::new(&kafka);
    for order in [&good, &bad] {
        place::publish(&publisher, order).await.unwrap();
    }

    let called = |handler: &str, order: &String| {
        let all = calls.all().into_iter();
        let of = all.filter(|(name, of, _)| *name == handler && of == order);
        of.map(|(_, _, attempt)| attempt).collect::<Vec<_>>()
    };
    eventually("it failed from its tier too", SOON, || called("charge", &bad).len() == 2).await;
    let handled = || {
        called("charge", &good).len() == 1
            && [&good, &bad].map(|o| called("ship", o).len()) == [1; 2]
    };
    eventually("all else is handled", SOON, handled).await;
    eventually("it is a dead letter", SOON, || charging.status().counts().dead_lettered() >= 1)
        .await;
    stop(charging).await;
    stop(shipping).await;
    assert_eq!((called("charge", &good), called("charge", &bad)), (vec![1], vec![1, 2]));
    assert_eq!((called("ship", &good), called("ship", &bad)), (vec![1], vec![1]));

    let letters = TopicName::from_static("attributes.kafka.orders.dlq");
    let dead = of_order(&broker, &kafka, &letters, &bad).await;
    let [dead] = &dead[..] else { panic!("one dead letter: {dead:?}") };
    assert_eq!(json::<Placed>(dead).order, bad);
    let said = |name| dead.headers.get_str(name).unwrap();
    assert_eq!(said(header::RETRY_GROUP), "attributes.kafka.charging");
    assert_eq!(said(header::RETRY_HANDLER), "charge");
    assert_eq!(said(header::ERROR_MESSAGE), "the bank is closed");
    assert!(of_order(&broker, &kafka, &letters, &good).await.is_empty());
}

#[worker(
    topic = Lines,
    output = Bills,
    group = "attributes.kafka.billing",
    concurrency = 4,
    max_retries = 2,
    backoff = "fixed:100ms",
    dlq = "attributes.kafka.failed"
)]
async fn bill(
    Value(line): Value<Line>,
    State(calls): State<Calls>,
    delivery: Delivery,
) -> Result<Value<Bill>, HandlerError> {
    calls.add(("bill", line.order.clone(), delivery.attempt()));
    match line.pens {
        0 => Err(HandlerError::transient("nothing to bill")),
        pens => Ok(Value(Bill { order: line.order, amount: pens * 2 })),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attributed_worker_commits_an_input_only_after_the_broker_has_its_output() {
    let Some(broker) = kafka_address() else { return };
    let (kafka, calls) = (hasty("attributes-bills", &broker), Calls::default());
    let (first, second, failing) = (order(), order(), order());
    let worker = bill::worker().state(calls.clone()).topics(create(1)).build(&kafka).unwrap();
    let running = worker.start().await.unwrap();
    let offsets = Inspector::new(&broker, "attributes.kafka.billing");
    let committed = || offsets.committed(&Lines::NAME, 0).unwrap_or_default();
    let producer = Producer::new(&client("attributes-orders", &broker));
    let correlation = EventId::parse(&unique("request")).unwrap();
    let flow = Flow { correlation_id: Some(correlation.clone()), ..Flow::default() };
    let add = async |order: &str, pens: u32| {
        flow.clone().scope(add_line::send(&producer, order, pens)).await.unwrap()
    };
    let at = add(&first, 1).await.delivered.offset;
    eventually("the first input is committed", SOON, || committed() == at + 1).await;

    delete(&kafka, &broker, &[&Bills::NAME]).await;
    let input = add(&second, 2).await;
    let said = || running.status().problems().join("; ");
    eventually("it says why it does not go on", SOON, || said().contains("was not acknowledged"))
        .await;
    let calls_of = |order: &String| calls.all().iter().filter(|(_, of, _)| of == order).count();
    assert!(calls_of(&second) >= 1 && !running.status().is_ready(), "{}", said());
    assert_eq!(committed(), at + 1, "what has no output is not committed");
    create_topics(&kafka, &[(Bills::NAME.as_str(), 1, false)]).await;
    let at = input.delivered.offset;
    eventually("the second input is committed", SOON, || committed() == at + 1).await;
    // Nothing was waited for in between: it was there before the offset was.
    let bills = of_order(&broker, &kafka, &Bills::NAME, &second).await;
    let Some(out) = bills.first() else { panic!("an input without an output was committed") };
    assert_eq!(json::<Bill>(out), Bill { order: second.clone(), amount: 4 });
    let said = |name| out.headers.get_str(name).unwrap().to_owned();
    assert_eq!(said(header::PLAIN_CORRELATION_ID), correlation.to_string());
    assert_eq!(said(header::PLAIN_CAUSATION_ID), input.id.to_string());

    let input = add(&failing, 0).await;
    let at = input.delivered.offset;
    eventually("the one that fails is committed", SOON, || committed() == at + 1).await;
    assert_eq!(calls_of(&failing), 3, "two retries");
    assert!(running.stop(SOON).await.is_clean());
    let letters = TopicName::from_static("attributes.kafka.failed");
    let dead = of_order(&broker, &kafka, &letters, &failing).await;
    let [dead] = &dead[..] else { panic!("one dead letter: {dead:?}") };
    assert_eq!(json::<Line>(dead), Line { order: failing.clone(), pens: 0 });
    let said = |name| dead.headers.get_str(name).unwrap();
    assert_eq!(said(header::MESSAGE_ID), input.id.to_string());
    assert_eq!(said(header::PLAIN_CORRELATION_ID), correlation.to_string());
    assert_eq!(said(header::RETRY_GROUP), "attributes.kafka.billing");
    assert_eq!(said(header::RETRY_HANDLER), "bill");
    assert_eq!(said(header::ERROR_MESSAGE), "nothing to bill");
    assert!(of_order(&broker, &kafka, &Bills::NAME, &failing).await.is_empty());
}

/// How many run, and the most that did at once; each waits until three do.
#[derive(Clone)]
struct AtOnce(std::sync::Arc<(std::sync::Mutex<(usize, usize)>, tokio::sync::Barrier)>);

#[worker(topic = "attributes.kafka.many", group = "attributes.kafka.many", concurrency = 3)]
async fn many(_: Value<Line>, State(AtOnce(shared)): State<AtOnce>) -> Result<(), HandlerError> {
    let count = |enters: bool| {
        let (now, most) = &mut *shared.0.lock().unwrap();
        *now = if enters { *now + 1 } else { *now - 1 };
        *most = (*most).max(*now);
    };
    count(true);
    shared.1.wait().await;
    count(false);
    Ok(())
}

fn a_key_each(line: &Line) -> String {
    line.pens.to_string()
}

#[producer(topic = "attributes.kafka.many", key_with = a_key_each)]
async fn one_of_many(pens: u32) -> Line {
    Line { order: "many".into(), pens }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attributed_worker_has_as_many_inputs_at_once_as_its_concurrency_says() {
    let Some(broker) = kafka_address() else { return };
    let kafka = client("attributes-many", &broker);
    let at_once = AtOnce(std::sync::Arc::new((Default::default(), tokio::sync::Barrier::new(3))));
    let worker = many::worker().state(at_once.clone()).topics(create(6)).build(&kafka).unwrap();
    let running = worker.start().await.unwrap();
    let producer = Producer::new(&kafka);
    let sends = (0..60).map(|pens| one_of_many::send(&producer, pens));
    for sent in futures::future::join_all(sends).await {
        sent.unwrap();
    }
    eventually("all are done", SOON, || running.status().done() >= 60).await;
    assert!(running.stop(SOON).await.is_clean());
    assert_eq!(*at_once.0.0.lock().unwrap(), (0, 3), "none is left, and three ran at once");
}
