//! One broker for all tests of this binary, and what they do with it.

use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use tidings::consumer::*;
use tidings::event::{EventId, Headers, TopicName, header};
use tidings::retry::RetryPolicy;
use tidings::transport::kafka::{EmbeddedBroker, Kafka, KafkaConfig};
use tidings::transport::*;

use crate::events::{Contract, Note, topic};
use crate::support::{SOON, Seen, eventually, unique};

pub const TOPICS: TopicSetup = TopicSetup::Create { partitions: Some(2), replication: None };
/// Marks the records that say how far a topic is read.
const END: &str = "x-test-end";

pub const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The broker that tests share. One that has to fail starts its own.
pub fn broker() -> &'static EmbeddedBroker {
    static BROKER: OnceLock<EmbeddedBroker> = OnceLock::new();
    BROKER.get_or_init(|| EmbeddedBroker::start().unwrap())
}

/// Short waits: the embedded broker wakes no fetch that waits.
pub fn config() -> KafkaConfig {
    KafkaConfig::new("tests", "embedded:1")
        .fetch_max_wait(ms(10))
        .commit_interval(ms(50))
        .session_timeout(Duration::from_secs(2))
        .heartbeat(ms(300))
}

/// A client of the shared broker, of this test alone.
pub fn client() -> Kafka {
    client_of(broker(), config())
}

/// A client of a test's own broker.
pub fn client_of(broker: &EmbeddedBroker, config: KafkaConfig) -> Kafka {
    if std::env::var_os("RUST_LOG").is_some() {
        // A second call finds the first one's subscriber.
        let _ = tracing_subscriber::fmt().with_env_filter("info,tidings=debug").try_init();
    }
    Kafka::embedded(broker, config).unwrap()
}

/// Two short tiers, nothing in place.
pub fn quick() -> RetryPolicy {
    RetryPolicy::tiers([ms(50), ms(100)]).immediate(0)
}

/// A consumer whose group is named as the contract's topic, with two tiers and no retries in place.
pub fn consumer<C: Contract>() -> ConsumerBuilder {
    Consumer::builder(C::TOPIC).retry(quick()).topics(TOPICS)
}

/// Starts a consumer and waits until it has its partitions.
pub async fn start(builder: ConsumerBuilder, kafka: &Kafka) -> RunningConsumer {
    let running = builder.build(kafka).unwrap().start().await.unwrap();
    let status = running.status().clone();
    eventually("the consumer is ready", SOON, || status.is_ready() && status.partitions() > 0)
        .await;
    running
}

/// Stops a consumer of which nothing is left unfinished.
pub async fn stop(running: RunningConsumer) {
    let report = running.stop(SOON).await;
    assert!(report.is_clean(), "{report:?}");
}

/// A handler that notes what it gets.
pub async fn record<C: Contract>(
    Event(note): Event<Note<C>>,
    State(seen): State<Seen<Note<C>>>,
) -> Result<(), HandlerError> {
    seen.add(note);
    Ok(())
}

/// The name of a topic beside a main topic.
pub fn beside<C: Contract>(suffix: &str) -> TopicName {
    TopicName::new(format!("{}.{suffix}", C::TOPIC)).unwrap()
}

/// An empty record for partition 0.
pub fn blank(topic: TopicName) -> Record {
    Record {
        topic,
        partition: Some(0),
        key: None,
        payload: None,
        headers: Headers::default(),
        timestamp: None,
    }
}

/// A record as a publisher makes it, for partition 0.
pub fn written<C: Contract>(key: &str, n: u32) -> Record {
    let mut record = blank(topic::<C>());
    record.key = Some(Bytes::copy_from_slice(key.as_bytes()));
    record.payload = Some(format!(r#"{{"key":"{key}","n":{n}}}"#).into());
    let id = EventId::new().to_string();
    for (name, value) in [
        (header::SPEC_VERSION, "1.0"),
        (header::ID, &id),
        (header::SOURCE, "stranger"),
        (header::TYPE, C::NAME),
        (header::CONTENT_TYPE, "application/json"),
    ] {
        record.headers.push(name, value);
    }
    record
}

/// The same record as a group's failed one, on one of its tiers.
pub fn on_tier<C: Contract>(mut record: Record, tier: &str, headers: &[(&str, &str)]) -> Record {
    record.topic = beside::<C>(&format!("retry.{tier}"));
    headers.iter().for_each(|(name, value)| record.headers.push(name, value));
    record
}

/// Puts a record on its topic as it is.
pub async fn put(kafka: &Kafka, record: &Record) -> Delivered {
    let (receipt, answer) = Receipt::one(None, Default::default());
    kafka.producer().enqueue(record, receipt).unwrap();
    answer.await.unwrap().unwrap()
}

/// All that lies on a topic by now, by partition and offset. A group that reads the topic skips what
/// this leaves there on a tier, and quarantines it on a main topic.
pub async fn lies_on(kafka: &Kafka, topic: &TopicName) -> Vec<Received> {
    let described = kafka.admin().describe(std::slice::from_ref(topic), SOON).await.unwrap();
    let partitions = described[0].as_ref().expect("the topic is there").partitions;
    let end = unique("end");
    for partition in 0..partitions {
        let mut record = blank(topic.clone());
        record.partition = Some(partition);
        record.headers.push(END, &end);
        record.headers.push(header::RETRY_GROUP, "nobody");
        put(kafka, &record).await;
    }
    let subscription = Subscription {
        group: unique("reader"),
        topics: vec![topic.clone()],
        followers: Vec::new(),
        revoke_wait: ms(100),
        kept: None,
        ends: false,
    };
    let mut source = kafka.subscribe(subscription).unwrap();
    let (mut ends, mut found) = (0, Vec::new());
    let reading = async {
        while ends < partitions {
            match source.events.recv().await.expect("the source goes on") {
                SourceEvent::Records(batch) => {
                    for record in batch.records {
                        match record.headers.get_str(END) {
                            Some(mark) => ends += i32::from(mark == end),
                            None => found.push(record),
                        }
                    }
                }
                SourceEvent::Revoked { reply, .. } => reply.release(Vec::new()),
                _ => {}
            }
        }
    };
    tokio::time::timeout(SOON, reading).await.expect("a topic is read to its end");
    found.sort_by_key(|record| (record.partition, record.offset));
    found
}

/// The numbers of the notes in records, in order.
pub fn numbers(records: &[Received]) -> Vec<u64> {
    let number = |record: &Received| {
        let payload = record.payload.as_deref().expect("a payload");
        let note: serde_json::Value = serde_json::from_slice(payload).expect("a note");
        note["n"].as_u64().expect("a number")
    };
    records.iter().map(number).collect()
}

/// A record that was read, as it was sent.
pub fn sent(record: &Received) -> Record {
    Record {
        topic: record.topic.clone(),
        partition: Some(record.partition),
        key: record.key.clone(),
        payload: record.payload.clone(),
        headers: record.headers.clone(),
        timestamp: record.timestamp.map(Timestamp::millis),
    }
}

/// A header's text.
pub fn text<'a>(record: &'a Received, name: &str) -> &'a str {
    record.headers.get_str(name).unwrap_or_else(|| panic!("no header {name} as text"))
}

/// Own headers byte for byte in front, and behind them nothing but what a failure writes.
pub fn assert_kept(before: &Record, after: &Received) {
    let own: Vec<_> = before.headers.iter().collect();
    let all: Vec<_> = after.headers.iter().collect();
    assert_eq!(all[..own.len().min(all.len())], own, "headers byte for byte");
    for (name, _) in &all[own.len()..] {
        assert!(header::FAILURE.iter().any(|ours| ours.as_bytes() == *name), "{name:?} was added");
    }
    assert_eq!((&after.key, &after.payload), (&before.key, &before.payload));
}

/// Waits until partition 0 is paused, then puts pairs of events on both partitions until the one on
/// partition 0 is held back, and three more; answers the first number that was held back. `seen` are
/// numbers and attempts.
pub async fn until_paused<C: Contract>(
    kafka: &Kafka,
    running: &RunningConsumer,
    seen: &Seen<(u32, u32)>,
) -> u32 {
    let first = TopicPartition { topic: topic::<C>(), partition: 0 };
    eventually("the partition is paused", SOON, || running.status().paused().contains(&first))
        .await;
    let mut paused = None;
    // What was under way when it was paused may still run.
    for n in 10.. {
        put(kafka, &written::<C>("elsewhere", n)).await;
        let mut twin = written::<C>("other", 1_000 + n);
        twin.partition = Some(1);
        put(kafka, &twin).await;
        let ran = |n| seen.all().contains(&(n, 1));
        eventually("the other partition goes on", SOON, || ran(1_000 + n)).await;
        match paused {
            None if !ran(n) => paused = Some(n),
            None => assert!(n < 500, "the partition is not paused"),
            Some(first) => {
                assert!(!(first..=n).any(ran), "a paused partition is not read: {seen:?}");
                if n == first + 3 {
                    return first;
                }
            }
        }
    }
    unreachable!()
}
