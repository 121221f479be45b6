//! Plain messages while their broker is killed, refuses them, and comes back.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tidings::error::ErrorClass;
use tidings::event::{TopicName, header};
use tidings::producer::*;
use tidings::retry::Backoff;
use tidings::transport::kafka::{Kafka, KafkaConfig};
use tidings::transport::{NewTopic, Transport};

use crate::broker::OwnBroker;
use crate::events::topic;
use crate::inspect::Inspector;
use crate::support::*;

const KEYS: u32 = 8;
const EACH: u32 = 150;

/// A client that gives up on a record after a second.
fn hasty(service: &str, address: &str) -> KafkaConfig {
    let second = Duration::from_secs(1);
    config(service, address).message_timeout(second).delivery_wait(second)
}

/// A topic with so many copies, and properties of its own.
async fn create_with(
    kafka: &Kafka,
    name: &TopicName,
    (partitions, copies): (i32, i32),
    properties: &[(&str, &str)],
) {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let new = NewTopic {
        partitions: Some(partitions),
        replication: Some(copies),
        configuration: properties.iter().map(own).collect(),
        ..NewTopic::new(name.clone())
    };
    kafka.admin().create(&[new], SOON).await.unwrap();
    let there = || async {
        let described = kafka.admin().describe(std::slice::from_ref(name), SOON).await;
        described.unwrap()[0].is_some()
    };
    let deadline = Instant::now() + SOON;
    while !there().await {
        assert!(Instant::now() < deadline, "{name} was not made");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_dies_while_messages_are_sent_loses_none_and_keys_keep_their_order() {
    let Some(broker) = OwnBroker::start(&[]).await else { return };
    let kafka = Kafka::connect(hasty("clicks", &broker.address)).unwrap();
    let clicks = topic("producer.clicks");
    create_topics(&kafka, &[(clicks.as_str(), 3, false)]).await;
    let backoff = Backoff::exponential(Duration::from_millis(200)).cap(Duration::from_secs(1));
    let producer = Producer::builder(&kafka).retries(1_000).backoff(backoff).build();
    let sending: Vec<_> = (0..KEYS)
        .map(|key| {
            let (producer, clicks) = (producer.clone(), clicks.clone());
            tokio::spawn(async move {
                let mut pace = tokio::time::interval(Duration::from_millis(10));
                for n in 0..EACH {
                    pace.tick().await;
                    let message = Message::new(clicks.clone(), &n).unwrap().key(format!("k{key}"));
                    producer.send_and_forget(message).await.unwrap();
                }
            })
        })
        .collect();
    let counts = producer.counts();
    eventually("it is under load", SOON, || counts.acknowledged() > 200).await;
    broker.kill().await;
    eventually("messages are in retry", SOON, || counts.retried() > 20).await;
    println!(
        "{} acknowledged before; {} open while it is away",
        counts.acknowledged(),
        producer.open()
    );
    broker.start_again().await;
    for sending in sending {
        sending.await.unwrap();
    }
    eventually("all are sent", 4 * SOON, || producer.open() == 0).await;
    assert_eq!((counts.acknowledged(), counts.failed()), (u64::from(KEYS * EACH), 0));

    let inspector = Inspector::new(&broker.address, "none");
    let mut by_key = BTreeMap::<_, Vec<u32>>::new();
    let (mut stored, mut twice) = (0, 0);
    for record in inspector.read_all(&client("reader", &broker.address), &clicks).await {
        let n = std::str::from_utf8(&record.payload.unwrap()).unwrap().parse().unwrap();
        let of_key = by_key.entry(record.key.unwrap()).or_default();
        stored += 1;
        // One that was stored and not acknowledged may be there again, before any later one of its key.
        match of_key.last() == Some(&n) {
            true => twice += 1,
            false => of_key.push(n),
        }
    }
    println!("{stored} stored, {twice} of them twice; {} retries", counts.retried());
    assert_eq!(by_key.len(), KEYS as usize);
    let expected: Vec<_> = (0..EACH).collect();
    for (key, numbers) in by_key {
        assert_eq!(numbers, expected, "{key:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_breaker_opens_when_the_broker_dies_refuses_quickly_and_closes_when_it_is_back() {
    let Some(broker) = OwnBroker::start(&[]).await else { return };
    let kafka = Kafka::connect(hasty("breaker", &broker.address)).unwrap();
    let clicks = topic("producer.breaker");
    create_topics(&kafka, &[(clicks.as_str(), 1, false)]).await;
    let breaker = Breaker::new().failures(3).open_for(Duration::from_secs(1));
    let producer = Producer::builder(&kafka).layer(breaker.clone()).build();
    let send = || async { producer.send(Message::new(clicks.clone(), &1).unwrap().key("k")).await };
    eventually("the broker answers", SOON, || producer.problem().is_none()).await;
    send().await.unwrap();
    assert_eq!(breaker.state(), BreakerState::Closed);

    broker.kill().await;
    let deadline = Instant::now() + SOON;
    while breaker.state() == BreakerState::Closed {
        assert!(Instant::now() < deadline, "it did not open");
        send().await.unwrap_err();
    }
    eventually("the transport knows that nobody answers", SOON, || producer.problem().is_some())
        .await;
    let mut slowest = Duration::ZERO;
    for _ in 0..1_000 {
        let began = Instant::now();
        let error = send().await.unwrap_err();
        assert!(error.is_refused(), "{error:?}");
        slowest = slowest.max(began.elapsed());
    }
    println!("1,000 messages were refused, the slowest in {slowest:?}");
    assert!(slowest < Duration::from_millis(500), "{slowest:?}");

    broker.start_again().await;
    let deadline = Instant::now() + SOON;
    while send().await.is_err() {
        assert!(Instant::now() < deadline, "it did not close");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_ran_out_of_retries_lies_among_the_dead_letters_byte_for_byte_with_its_history()
 {
    let Some(cluster) = OwnBroker::start_three().await else { return };
    // What is told to the error topic is sent once: the other two nodes need their time on a busy machine.
    let three = Duration::from_secs(3);
    let config = config("dead", &cluster.address).message_timeout(three).delivery_wait(three);
    let kafka = Kafka::connect(config).unwrap();
    let (clicks, dead, errors) =
        (topic("producer.one_copy"), topic("producer.dlq"), topic("producer.errors"));
    // Each partition lies on one node; what else there is, on all of them.
    create_with(&kafka, &clicks, (3, 1), &[]).await;
    create_with(&kafka, &dead, (1, 3), &[]).await;
    create_with(&kafka, &errors, (1, 3), &[]).await;
    let producer = Producer::builder(&kafka)
        .retries(2)
        .backoff(Backoff::fixed(Duration::from_millis(100)))
        .dead_letters(dead.clone())
        .errors(errors.clone())
        .build();
    let value: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    let message = |partition| {
        let message = Message::bytes(clicks.clone(), value.clone()).key(&[0xff, 0][..]);
        message.header("mine", [0xfe]).partition(partition)
    };
    let patient = Producer::builder(&kafka).retries(30).build();
    for partition in 0..3 {
        patient.send(message(partition)).await.unwrap();
    }
    cluster.kill_node(2).await;
    // The other two have found out when they store again what three of them have to.
    patient.send(Message::new(errors.clone(), &"begin").unwrap()).await.unwrap();
    let mut failed = Vec::new();
    for partition in 0..3 {
        failed.extend(producer.send(message(partition)).await.err());
    }
    let [error] = &failed[..] else { panic!("one node is gone: {failed:?}") };
    assert_eq!(error.class(), ErrorClass::Retriable, "{error}");
    let inspector = Inspector::new(&cluster.address, "none");
    let reader = client("reader", &cluster.address);
    let [letter] = &inspector.read_all(&reader, &dead).await[..] else { panic!("one dead letter") };
    assert_eq!(letter.payload.as_deref(), Some(&value[..]));
    assert_eq!(letter.key.as_deref(), Some(&[0xff, 0][..]));
    assert_eq!(letter.headers.get("mine"), Some(&[0xfe][..]));
    let said = |name| letter.headers.get_str(name).unwrap();
    assert_eq!(said(header::MESSAGE_ID), error.id().to_string());
    assert_eq!((said(header::ORIGIN_TOPIC), said(header::SEND_ATTEMPTS)), (clicks.as_str(), "3"));
    let history: Vec<serde_json::Value> = serde_json::from_str(said(header::SEND_HISTORY)).unwrap();
    println!("{}", said(header::SEND_HISTORY));
    assert_eq!(history.len(), 3);
    let at: Vec<_> = history.iter().map(|tried| tried["at"].as_i64().unwrap()).collect();
    assert!(
        at.windows(2).all(|pair| pair[1] - pair[0] >= 1_000),
        "the client's own time each: {at:?}"
    );
    let deadline = Instant::now() + SOON;
    // Beside what the test put there, once or, as a retry may, more than once.
    let report = loop {
        let told = inspector.read_all(&reader, &errors).await;
        let mut told = told.iter().filter_map(|record| record.payload.as_deref());
        let json = |value: &[u8]| serde_json::from_slice::<serde_json::Value>(value).unwrap();
        if let Some(report) = told.find_map(|value| Some(json(value)).filter(|it| it.is_object())) {
            break report;
        }
        assert!(Instant::now() < deadline, "nothing was reported");
    };
    assert_eq!(report["message_id"], error.id().to_string());
    assert_eq!((&report["class"], &report["attempts"]), (&"retriable".into(), &3.into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_its_topic_is_too_small_for_is_tried_once_and_put_aside() {
    let Some(address) = kafka_address() else { return };
    let kafka = client("large", &address);
    let (small, dead) = (topic("producer.small"), topic("producer.small.dlq"));
    create_with(&kafka, &small, (1, 1), &[("max.message.bytes", "10000")]).await;
    create_topics(&kafka, &[(dead.as_str(), 1, false)]).await;
    let producer = Producer::builder(&kafka).retries(5).dead_letters(dead.clone()).build();
    let value: Vec<u8> = (0..=255).cycle().take(20_000).collect();
    let error = producer.send(Message::bytes(small, value.clone()).key("k")).await.unwrap_err();
    let SendError::NotAcknowledged { attempts: 1, dead_letter: Some(_), .. } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(error.class(), ErrorClass::Permanent);
    let inspector = Inspector::new(&address, "none");
    let [letter] = &inspector.read_all(&kafka, &dead).await[..] else { panic!("one dead letter") };
    assert_eq!(letter.payload.as_deref(), Some(&value[..]));
    assert_eq!((producer.counts().dead_lettered(), producer.counts().retried()), (1, 0));
}
