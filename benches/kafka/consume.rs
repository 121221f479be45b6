//! `consume_dispatch`: a preloaded topic through decoding to an empty handler, committed after it.
//!
//! Raw is a `StreamConsumer` in one loop: see from its header what the event is, decode, handle, and commit what was
//! handled as often as Tidings commits. It reads no other metadata, keeps no order among concurrent handlers and has
//! no answer to a failure. `raw_blind` does not even look at the header, and takes every record for the same event:
//! it promises less, so it has no gate.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::StreamExt;
use rdkafka::Message;
use rdkafka::consumer::{CommitMode, Consumer as _, StreamConsumer};
use rdkafka::message::{BorrowedMessage, Headers as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tidings::consumer::{Consumer, Event, HandlerError, Order, TopicSetup};
use tidings::event::{IntegrationEvent as _, header};
use tidings::publisher::Publisher;
use tidings::retry::RetryPolicy;
use tidings::transport::kafka::{Kafka, KafkaConfig};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::broker::{Broker, PARTITIONS, native, unique};
use crate::event::OrderPlaced;
use crate::measure::{Arm, Sample, Stopwatch, compare, number};

const GATE: f64 = 0.70;
/// Longer than any round: a round that hangs is a failure.
const LONG: Duration = Duration::from_secs(300);

pub(crate) async fn run(config: &KafkaConfig) -> bool {
    let (rounds, events) =
        (number("TIDINGS_BENCH_ROUNDS", 9), number("TIDINGS_BENCH_CONSUME", 1_000_000));
    let broker = Broker::new(&config.admin_properties(), &config.consumer_properties("bench"));
    let kafka = Kafka::connect(config.clone()).expect("a client");
    let topic = format!("tidings-bench-consume-{events}");
    broker.topic(&topic).await;
    load(&kafka, broker.stored(&topic)..events).await;
    let total = broker.stored(&topic);

    let mut arms = ["by_key", "by_partition", "raw_stream", "raw_blind"].map(Arm::new);
    for round in 0..=rounds {
        let mut order = [0, 1, 2, 3];
        if round % 2 == 1 {
            order.reverse();
        }
        for arm in order {
            let progress = Arc::new(Progress::new(total));
            let group = unique("tidings-bench");
            match arm {
                0 => ours(&kafka, &group, Order::ByKey, &progress).await,
                1 => ours(&kafka, &group, Order::ByPartition, &progress).await,
                2 => raw(config, &group, &topic, &progress, is_placed).await,
                _ => raw(config, &group, &topic, &progress, |_| true).await,
            }
            assert_eq!(progress.handled.load(Ordering::Acquire), total, "each event once");
            assert_eq!(broker.committed(&topic, &group), total, "all that was handled");
            // The first round warms up.
            if round > 0 {
                arms[arm].rounds.push(progress.sample());
            }
        }
    }
    arms.iter().for_each(Arm::show);
    let [by_key, by_partition, raw, blind] = &arms;
    for arm in [by_key, by_partition] {
        compare("consume_dispatch", arm, blind, None);
    }
    let by_key = compare("consume_dispatch", by_key, raw, Some(GATE));
    compare("consume_dispatch", by_partition, raw, Some(GATE)) && by_key
}

/// Publishes what is missing on the topic.
async fn load(kafka: &Kafka, missing: std::ops::Range<u64>) {
    let publisher = Publisher::new(kafka);
    let batches: Vec<_> = missing.clone().step_by(1_000).collect();
    let load = futures::stream::iter(batches).map(|start| {
        let end = missing.end.min(start + 1_000);
        publisher.publish_all((start..end).map(OrderPlaced::numbered).collect::<Vec<_>>())
    });
    load.buffer_unordered(16).for_each(async |batch| drop(batch.expect("acknowledged"))).await;
}

/// Counts handled events, and measures from the first to the last.
struct Progress {
    total: u64,
    handled: AtomicU64,
    started: OnceLock<Stopwatch>,
    sample: OnceLock<Sample>,
    done: Notify,
}

impl Progress {
    fn new(total: u64) -> Self {
        Self {
            total,
            handled: AtomicU64::new(0),
            started: OnceLock::new(),
            sample: OnceLock::new(),
            done: Notify::new(),
        }
    }

    fn one(&self) {
        let before = self.handled.fetch_add(1, Ordering::AcqRel);
        if before == 0 {
            let _ = self.started.set(Stopwatch::start());
        }
        if before + 1 == self.total {
            let watch = self.started.get_or_init(Stopwatch::start);
            let _ = self.sample.set(watch.stop(self.total));
            self.done.notify_one();
        }
    }

    fn sample(&self) -> Sample {
        *self.sample.get().expect("all were handled")
    }
}

async fn ours(kafka: &Kafka, group: &str, order: Order, progress: &Arc<Progress>) {
    let counted = progress.clone();
    let handler = move |Event(order): Event<OrderPlaced>| {
        black_box(order);
        counted.one();
        std::future::ready(Ok::<(), HandlerError>(()))
    };
    let consumer = Consumer::builder(group)
        .handle_named("count", handler)
        .order(order)
        // The topics around it are no part of what is compared.
        .retry(RetryPolicy::none())
        .topics(TopicSetup::Create { partitions: None, replication: None })
        .build(kafka)
        .expect("a consumer");
    let running = consumer.start().await.expect("a running consumer");
    timeout(LONG, progress.done.notified()).await.expect("all events within a long time");
    let report = running.stop(Duration::from_secs(10)).await;
    assert!(report.failures.is_empty(), "{report:?}");
}

/// Whether a record's header says that it is the event that is handled.
#[allow(clippy::disallowed_methods, reason = "whoever writes it by hand has no other way")]
fn is_placed(message: &BorrowedMessage<'_>) -> bool {
    let mut headers = message.headers().into_iter().flat_map(|headers| headers.iter());
    let said = headers.find(|header| header.key == header::TYPE);
    said.and_then(|header| header.value) == Some(OrderPlaced::NAME.as_bytes())
}

async fn raw(
    config: &KafkaConfig,
    group: &str,
    topic: &str,
    progress: &Progress,
    is_placed: impl Fn(&BorrowedMessage<'_>) -> bool,
) {
    let (every, interval) = (config.consumer().commit_every, config.consumer().commit_interval);
    let consumer: StreamConsumer =
        native(&config.consumer_properties(group)).create().expect("a consumer");
    consumer.subscribe(&[topic]).expect("a subscription");
    let mut next = vec![None; PARTITIONS as usize];
    let (mut handled, mut committed_at) = (0, Instant::now());
    let commit = |next: &[Option<i64>], mode| {
        let mut list = TopicPartitionList::new();
        for (partition, next) in (0..).zip(next) {
            if let Some(next) = next {
                list.add_partition_offset(topic, partition, Offset::Offset(*next)).expect("legal");
            }
        }
        consumer.commit(&list, mode).expect("a commit");
    };
    while progress.sample.get().is_none() {
        let message = timeout(LONG, consumer.recv()).await.expect("an event").expect("an event");
        assert!(is_placed(&message), "there is no other event");
        let event: OrderPlaced =
            serde_json::from_slice(message.payload().unwrap_or_default()).expect("JSON");
        black_box(event);
        progress.one();
        next[message.partition() as usize] = Some(message.offset() + 1);
        handled += 1;
        if handled == every || (handled % 64 == 0 && committed_at.elapsed() >= interval) {
            commit(&next, CommitMode::Async);
            (handled, committed_at) = (0, Instant::now());
        }
    }
    commit(&next, CommitMode::Sync);
}
