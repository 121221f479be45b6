//! `publish_pipelined`: events with their metadata, each acknowledged by all replicas.
//!
//! Two promises, each against raw code that gives the same one. A batch: one answer when the last of
//! many is acknowledged, failures counted (`ThreadedProducer` with a delivery callback). One by one: an answer for each
//! event, 1,000 in flight (`FutureProducer`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt;
use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{
    BaseRecord, DeliveryResult, FutureProducer, FutureRecord, ProducerContext, ThreadedProducer,
};
use tidings::IntegrationEvent;
use tidings::publisher::Publisher;
use tidings::transport::kafka::{Kafka, KafkaConfig};
use tokio::sync::Notify;

use crate::broker::{Broker, native, unique};
use crate::event::OrderPlaced;
use crate::measure::{Arm, Sample, Stopwatch, compare, number};

const GATE: f64 = 0.80;
const BATCH: usize = 1_000;
/// Batches on their way at once: about as much as the raw producer's queue holds, so that neither waits for the
/// other's window.
const BATCHES: usize = 50;
const IN_FLIGHT: usize = 1_000;

/// What every arm is given: the events as whoever publishes many has them.
type Batches = Vec<Vec<OrderPlaced>>;

fn count(batches: &Batches) -> u64 {
    batches.iter().map(|batch| batch.len() as u64).sum()
}

pub(crate) async fn run(config: &KafkaConfig) -> bool {
    let (rounds, events) =
        (number("TIDINGS_BENCH_ROUNDS", 9), number("TIDINGS_BENCH_PUBLISH", 200_000));
    let linger = Duration::from_millis(number("TIDINGS_BENCH_LINGER", 5));
    let config = config.clone().linger(linger);
    let broker = Broker::new(&config.admin_properties(), &config.consumer_properties("bench"));
    let kafka = Kafka::connect(config.clone()).expect("a client");
    let publisher = Publisher::new(&kafka);
    let properties = native(&config.producer_properties());
    let acks = Arc::new(Acks::default());
    let threaded: ThreadedProducer<Counting> =
        properties.create_with_context(Counting(acks.clone())).expect("a producer");
    let future: FutureProducer = properties.create().expect("a producer");

    let names = ["publish_all", "raw_threaded", "publish", "raw_future"];
    let mut arms = names.map(Arm::new);
    for round in 0..=rounds {
        let topic = unique("tidings-bench-publish");
        broker.topic(&topic).await;
        let mut order = [0, 1, 2, 3];
        if round % 2 == 1 {
            order.reverse();
        }
        for arm in order {
            let batches = OrderPlaced::batches(events, BATCH);
            let sample = match arm {
                0 => in_batches(&publisher, batches).await,
                1 => raw_threaded(&threaded, &acks, &topic, batches).await,
                2 => one_by_one(&publisher, batches).await,
                _ => raw_future(&future, &topic, batches).await,
            };
            // The first round warms up.
            if round > 0 {
                arms[arm].rounds.push(sample);
            }
        }
        assert_eq!(broker.stored(&topic), events * 4, "every event of every arm is stored once");
        broker.drop_topic(&topic).await;
    }
    publisher.close(Duration::from_secs(10)).await;
    arms.iter().for_each(Arm::show);
    let [batches, threaded, singles, future] = &arms;
    let batches = compare("publish_pipelined", batches, threaded, Some(GATE));
    compare("publish_pipelined", singles, future, Some(GATE)) && batches
}

async fn in_batches(publisher: &Publisher, batches: Batches) -> Sample {
    let count = count(&batches);
    let watch = Stopwatch::start();
    let published = futures::stream::iter(batches)
        .map(|batch| publisher.publish_all(batch))
        .buffer_unordered(BATCHES);
    published.for_each(async |batch| drop(batch.expect("acknowledged"))).await;
    watch.stop(count)
}

async fn one_by_one(publisher: &Publisher, batches: Batches) -> Sample {
    let count = count(&batches);
    let watch = Stopwatch::start();
    let published = futures::stream::iter(batches.into_iter().flatten())
        .map(|event| publisher.publish(event))
        .buffer_unordered(IN_FLIGHT);
    published.for_each(async |event| drop(event.expect("acknowledged"))).await;
    watch.stop(count)
}

/// The same headers as Tidings writes for these events.
fn headers(id: &str) -> OwnedHeaders {
    let header = |key, value| Header { key, value: Some(value) };
    OwnedHeaders::new_with_capacity(5)
        .insert(header("ce_specversion", "1.0"))
        .insert(header("ce_id", id))
        .insert(header("ce_source", "bench"))
        .insert(header("ce_type", OrderPlaced::NAME))
        .insert(header("content-type", "application/json"))
}

#[derive(Default)]
struct Acks {
    open: AtomicU64,
    failed: AtomicU64,
    done: Notify,
}

struct Counting(Arc<Acks>);

impl ClientContext for Counting {}

impl ProducerContext for Counting {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_err() {
            self.0.failed.fetch_add(1, Ordering::Relaxed);
        }
        if self.0.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.done.notify_one();
        }
    }
}

async fn raw_threaded(
    producer: &ThreadedProducer<Counting>,
    acks: &Acks,
    topic: &str,
    batches: Batches,
) -> Sample {
    let count = count(&batches);
    acks.open.store(count, Ordering::Release);
    let watch = Stopwatch::start();
    let mut payload = Vec::with_capacity(512);
    for event in batches.into_iter().flatten() {
        payload.clear();
        serde_json::to_writer(&mut payload, &event).expect("JSON");
        let mut text = uuid::Uuid::encode_buffer();
        let id: &str = uuid::Uuid::now_v7().hyphenated().encode_lower(&mut text);
        let mut record = BaseRecord::to(topic)
            .key(&event.customer)
            .payload(&payload)
            .timestamp(chrono::Utc::now().timestamp_millis())
            .headers(headers(id));
        while let Err((error, back)) = producer.send(record) {
            assert_eq!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull));
            record = back;
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }
    acks.done.notified().await;
    assert_eq!(acks.failed.load(Ordering::Acquire), 0);
    watch.stop(count)
}

async fn raw_future(producer: &FutureProducer, topic: &str, batches: Batches) -> Sample {
    let count = count(&batches);
    let watch = Stopwatch::start();
    let published = futures::stream::iter(batches.into_iter().flatten())
        .map(|event| async move {
            let payload = serde_json::to_vec(&event).expect("JSON");
            let mut text = uuid::Uuid::encode_buffer();
            let id: &str = uuid::Uuid::now_v7().hyphenated().encode_lower(&mut text);
            let record = FutureRecord::to(topic)
                .key(&event.customer)
                .payload(&payload)
                .timestamp(chrono::Utc::now().timestamp_millis())
                .headers(headers(id));
            producer.send(record, Duration::from_secs(5)).await
        })
        .buffer_unordered(IN_FLIGHT);
    published.for_each(async |event| _ = event.expect("acknowledged")).await;
    watch.stop(count)
}
