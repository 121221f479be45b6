//! Coming from a Python service that was written by hand: its typical code, and the same here.

use std::time::Duration;

use tidings::testing::{Fixture, TestKit};
use tidings::transport::Transport;

// ANCHOR: message
use serde::{Deserialize, Serialize};
use tidings::IntegrationEvent;

/// What `json.loads(msg.value())` was trusted to hold.
#[derive(Debug, Serialize, Deserialize, IntegrationEvent)]
#[event(key = sensor, topic = "readings")]
pub struct Reading {
    pub sensor: String,
    pub celsius: f64,
}
// ANCHOR_END: message

// ANCHOR: handle
use tidings::consumer::{Event, HandlerError, RawRecord};

/// What stood in `while True: msg = consumer.poll(1.0)`.
pub async fn check(
    Event(reading): Event<Reading>,
    RawRecord(record): RawRecord, // msg.partition(), msg.offset(), msg.key(), msg.headers()
) -> Result<(), HandlerError> {
    if reading.celsius < -273.15 {
        let place = format!("{}@{}", record.partition, record.offset);
        return Err(HandlerError::permanent(format!("colder than possible, at {place}")));
    }
    Ok(())
}
// ANCHOR_END: handle

// ANCHOR: consumer
use tidings::consumer::{BuildError, Consumer};
use tidings::error::BoxError;

pub fn gauges<T: Transport + Clone>(transport: &T) -> Result<Consumer, BuildError> {
    Consumer::builder("gauges").handle(check).build(transport) // group.id
}

pub async fn run(consumer: Consumer, sigterm: impl Future<Output = ()>) -> Result<(), BoxError> {
    let running = consumer.start().await?;
    sigterm.await;
    let left = running.stop(Duration::from_secs(20)).await; // finishes, commits, leaves the group
    println!("{} readings are left to the next start", left.unfinished.len());
    Ok(())
}
// ANCHOR_END: consumer

// ANCHOR: kinds
use tidings::consumer::Value;
use tidings::event::TopicName;

const DEVICES: TopicName = TopicName::from_static("devices");

/// `if payload["type"] == "on": … elif …`
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Device {
    On { device: String },
    Off { device: String, after: u32 },
}

/// Whatever lies on the topic, as plain JSON.
pub async fn watch(Value(device): Value<Device>) -> Result<(), HandlerError> {
    match device {
        Device::On { device } => println!("{device} is on"),
        Device::Off { device, after } => println!("{device} was on for {after} s"),
    }
    Ok(())
}

pub fn watching<T: Transport + Clone>(transport: &T) -> Result<Consumer, BuildError> {
    Consumer::builder("watch").handle_on(DEVICES, watch).build(transport)
}
// ANCHOR_END: kinds

// ANCHOR: plain
use tidings::producer::{Message, Producer};

/// `producer.produce("devices", key=…, value=json.dumps(…), headers={…})`, then `flush()`
pub async fn switched_on(producer: &Producer, device: &str) -> Result<(), BoxError> {
    let message = Message::new(DEVICES, &Device::On { device: device.into() })?;
    producer.send(message.key(device).header("floor", "2")).await?;
    Ok(())
}
// ANCHOR_END: plain

// ANCHOR: producer
use tidings::publisher::Publisher;

pub async fn report(publisher: &Publisher, readings: Vec<Reading>) -> Result<(), BoxError> {
    for reading in readings {
        publisher.publish_and_forget(reading).await?; // produce(..); waits where the queue is full
    }
    let left = publisher.close(Duration::from_secs(10)).await; // flush(10)
    match left.len() {
        0 => Ok(()),
        lost => Err(format!("{lost} readings were not acknowledged").into()),
    }
}

pub async fn report_one(publisher: &Publisher, reading: Reading) -> Result<i64, BoxError> {
    let published = publisher.publish(reading).await?; // send_and_wait(..)
    Ok(published.delivered.offset)
}
// ANCHOR_END: producer

fn reading(celsius: f64) -> Reading {
    Reading { sensor: "roof".into(), celsius }
}

// ANCHOR: test
#[tokio::test(start_paused = true)]
async fn what_cannot_be_true_is_a_dead_letter_and_what_cannot_be_read_is_in_quarantine() {
    let kit = TestKit::new();
    kit.start(gauges(&kit.transport("gauges")).unwrap()).await;
    kit.publish(reading(21.5)).await;
    kit.publish(reading(-300.0)).await;
    let broken = r#"{ "topic": "readings", "payload": { "text": "{'sensor': 1" } }"#;
    kit.replay(&Fixture::from_json(broken).unwrap()).await;
    kit.settled().await;
    kit.expect::<Reading>()
        .handled_by("check", 1)
        .dead_lettered(1, "colder than possible")
        .quarantined(1, "");
}
// ANCHOR_END: test

#[tokio::test(start_paused = true)]
async fn plain_json_without_any_header_is_read() {
    let kit = TestKit::new();
    kit.start(gauges(&kit.transport("gauges")).unwrap()).await;
    let plain = r#"{ "topic": "readings", "key": "roof",
                     "payload": { "json": {"sensor":"roof","celsius":3.5} } }"#;
    kit.replay(&Fixture::from_json(plain).unwrap()).await;
    kit.settled().await;
    kit.expect::<Reading>().handled_by("check", 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_reported_is_checked_until_the_service_is_told_to_stop() {
    let kit = TestKit::new();
    let consumer = gauges(&kit.transport("gauges")).unwrap();
    let publisher = kit.publisher("roof");
    let told = async {
        assert_eq!(report_one(&publisher, reading(1.0)).await.unwrap(), 0);
        report(&publisher, vec![reading(2.0)]).await.unwrap();
        kit.settled().await;
    };
    run(consumer, told).await.unwrap();
    kit.expect::<Reading>().handled_by("check", 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_told_apart_by_a_field_is_one_value() {
    let kit = TestKit::new();
    let transport = kit.transport("watch");
    let status = kit.start(watching(&transport).unwrap()).await;
    switched_on(&Producer::new(&transport), "lamp").await.unwrap();
    let plain = r#"{ "topic": "devices", "key": "lamp",
                     "payload": { "json": {"type":"off","device":"lamp","after":7} } }"#;
    kit.replay(&Fixture::from_json(plain).unwrap()).await;
    kit.settled().await;
    assert_eq!(status.counts().handled(), 2);
}
