//! The path on the embedded broker.
#[path = "../support/mod.rs"]
mod support;

use serde::{Deserialize, Serialize};
use std::time::Duration;
use support::*;
use tidings::consumer::*;
use tidings::event::*;
use tidings::publisher::Publisher;
use tidings::retry::RetryPolicy;
use tidings::transport::kafka::*;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Placed {
    order: String,
    n: u32,
}
impl IntegrationEvent for Placed {
    const NAME: &'static str = "placed";
    fn topics() -> Vec<TopicName> {
        vec![TopicName::from_static("orders.placed")]
    }
    fn topic(&self) -> TopicName {
        TopicName::from_static("orders.placed")
    }
    fn partition_key(&self) -> Result<Option<PartitionKey>, InvalidKey> {
        PartitionKey::new(self.order.as_str()).map(Some)
    }
}

async fn record(
    Event(e): Event<Placed>,
    State(seen): State<Seen<Placed>>,
    Attempt(a): Attempt,
) -> Result<(), HandlerError> {
    if e.order == "flaky" && a < 3 {
        return Err(HandlerError::transient("not yet"));
    }
    if e.order == "broken" {
        return Err(HandlerError::transient("never"));
    }
    seen.add(e);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_published_event_reaches_its_handler() {
    tracing_subscriber::fmt().with_env_filter("info").init();
    let start = std::time::Instant::now();
    let broker = EmbeddedBroker::start().unwrap();
    let kafka = Kafka::embedded(&broker, KafkaConfig::new("orders", "x:1")).unwrap();
    let seen: Seen<Placed> = Seen::default();
    let consumer = Consumer::builder("mail")
        .handle(record)
        .state(seen.clone())
        .retry(RetryPolicy::tiers([Duration::from_secs(1), Duration::from_secs(2)]).immediate(0))
        .topics(TopicSetup::Create { partitions: Some(3), replication: None })
        .build(&kafka)
        .unwrap();
    let running = consumer.start().await.unwrap();
    println!("started {:?}", start.elapsed());
    let publisher = Publisher::new(&kafka);
    for n in 0..100 {
        publisher.publish(Placed { order: format!("o{}", n % 7), n }).await.unwrap();
    }
    publisher.publish(Placed { order: "flaky".into(), n: 1 }).await.unwrap();
    publisher.publish(Placed { order: "broken".into(), n: 1 }).await.unwrap();
    println!("published {:?}", start.elapsed());
    eventually("all handled", SOON, || seen.len() == 101).await;
    eventually("dead letter", SOON, || running.status().counts().dead_lettered() == 1).await;
    println!(
        "handled {:?} {:?} {:?}",
        start.elapsed(),
        running.status().counts(),
        running.status().problems()
    );
    let report = running.stop(Duration::from_secs(5)).await;
    println!("stopped {:?} {report:?}", start.elapsed());
    assert!(report.is_clean());
}
