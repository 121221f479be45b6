//! Sending plain messages.

use tidings::error::BoxError;
use tidings::event::TopicName;
use tidings::producer::{Message, Producer};

// ANCHOR: made
use tidings::transport::kafka::{Kafka, KafkaConfig};

fn made() -> Result<Producer, BoxError> {
    let kafka = Kafka::connect(KafkaConfig::new("web", "localhost:9092").with_env()?)?;
    // One for the whole service: clones are cheap. The same client serves publishers and consumers.
    Ok(Producer::new(&kafka))
}
// ANCHOR_END: made

// ANCHOR: send
const CLICKS: TopicName = TopicName::from_static("web.clicks");

#[derive(serde::Serialize)]
struct Click {
    page: String,
    at: i64,
}

async fn send(producer: &Producer) -> Result<(), BoxError> {
    let click = Click { page: "/prices".into(), at: 1_790_000_000 };
    let message = Message::new(CLICKS, &click)?.key("user-7").header("campaign", "spring");
    // Acknowledged by the broker when this returns.
    let sent = producer.send(message).await?;
    println!("{} lies at offset {}", sent.id, sent.delivered.offset);

    // Queued only.
    producer.send_and_forget(Message::bytes(CLICKS, &b"\x01\x02"[..]).key("user-8")).await?;

    // In order; the error names and holds what was not acknowledged.
    let batch = (0..3).map(|page| Message::new(CLICKS, &page)).collect::<Result<Vec<_>, _>>()?;
    producer.send_all(batch).await?;
    Ok(())
}
// ANCHOR_END: send

// ANCHOR: typed
use super::topics::{AccountOpened, Accounts};

async fn send_typed(producer: &Producer) -> Result<(), BoxError> {
    // A topic that is known as a type takes what it carries, and nothing else compiles.
    let opened = AccountOpened { id: "a-1".into() };
    producer.send(Message::on::<Accounts>(&opened)?.key(&opened.id)).await?;
    Ok(())
}
// ANCHOR_END: typed

// ANCHOR: deliveries
use std::time::Duration;

use tidings::producer::{DeliveryContext, DeliveryHandler, SendError};
use tidings::retry::Backoff;
use tidings::transport::Transport;

struct Journal;

impl DeliveryHandler for Journal {
    fn on_failure(&self, delivery: &DeliveryContext, error: &SendError) {
        println!("{} to {}: {error}", delivery.message_id(), delivery.topic());
    }

    fn on_retry_scheduled(&self, delivery: &DeliveryContext) {
        println!("{}: attempt {} failed", delivery.message_id(), delivery.attempt());
    }
}

fn patient(transport: &dyn Transport) -> Producer {
    Producer::builder(transport)
        .retries(8)
        .backoff(Backoff::exponential(Duration::from_secs(1)).cap(Duration::from_secs(60)))
        .handler(Journal)
        .dead_letters(TopicName::from_static("web.dlq"))
        .errors(TopicName::from_static("errors"))
        .build()
}

async fn follow(producer: &Producer) -> Result<(), BoxError> {
    let id = producer.send_and_forget(Message::new(CLICKS, "/prices")?).await?;
    match producer.status(&id) {
        Some(status) => println!("{id}: {status:?}"),
        None => println!("{id} is not known (any more)"),
    }
    Ok(())
}
// ANCHOR_END: deliveries

// ANCHOR: beside
use tidings::publisher::Publisher;
use tidings::transport::{TopicSetup, TopicsError};

async fn prepare(transport: &dyn Transport, producer: &Producer) -> Result<(), TopicsError> {
    let (topics, setup) = (producer.topics_beside(), TopicSetup::Verify);
    Publisher::prepare_topics(transport, topics, setup, Duration::from_secs(30)).await
}
// ANCHOR_END: beside

// ANCHOR: layers
use tidings::producer::{Breaker, BreakerState, RateLimit};

fn careful(transport: &dyn Transport) -> Result<(Producer, Breaker), BoxError> {
    let breaker = Breaker::new().failures(5).open_for(Duration::from_secs(10));
    let limit = RateLimit::new(500, Duration::from_secs(1))?.burst(50);
    let producer = Producer::builder(transport).layer(breaker.clone()).layer(limit).build();
    // A clone of a breaker knows its state.
    assert_eq!(breaker.state(), BreakerState::Closed);
    Ok((producer, breaker))
}
// ANCHOR_END: layers

#[tokio::test]
async fn what_is_sent_is_acknowledged() {
    let kafka = super::embedded("web");
    let producer = Producer::new(&kafka);
    send(&producer).await.unwrap();
    send_typed(&producer).await.unwrap();
    follow(&patient(&kafka)).await.unwrap();
    let (careful, breaker) = careful(&kafka).unwrap();
    send(&careful).await.unwrap();
    assert_eq!(breaker.state(), BreakerState::Closed);
    assert!(producer.close(Duration::from_secs(10)).await.is_empty());
}
