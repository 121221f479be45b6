//! `outbox_idle`: how long after its commit an event of an idle system is in its handler.
#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::json;
use tidings::IntegrationEvent;
use tidings::consumer::{Consumer, Event, HandlerError, TopicSetup};
use tidings::event::{Envelope, TopicName};
use tidings::outbox::Relay;
use tidings::retry::RetryPolicy;
use tokio::sync::mpsc;

use crate::measure::number;
use crate::stage::{FIRST_ORDER, Stage};

/// At the median.
const GATE: Duration = Duration::from_millis(50);
/// Longer than a relay looks again after the last event.
const PAUSE: Duration = Duration::from_millis(120);

/// This run's topic.
static TOPIC: OnceLock<TopicName> = OnceLock::new();

#[derive(Serialize, Deserialize)]
struct OrderPlaced {
    order_id: u64,
}

impl IntegrationEvent for OrderPlaced {
    const NAME: &'static str = "order_placed";

    fn topics() -> Vec<TopicName> {
        TOPIC.get().cloned().into_iter().collect()
    }

    fn topic(&self) -> TopicName {
        TOPIC.get().cloned().expect("it is set before anything is read")
    }
}

/// Longer than any event takes.
const WAIT: Duration = Duration::from_secs(30);

pub(crate) async fn run(stage: &Stage) -> bool {
    stage.execute("TRUNCATE {outbox}").await;
    let events = number("TIDINGS_BENCH_IDLE", 100);
    let relay = Relay::builder(stage.store.clone()).build(&stage.kafka).expect("a relay").start();
    let name = TopicName::new(format!("{}-idle", stage.topic)).expect("a name");
    let topic = TOPIC.get_or_init(|| name);
    let (handled, mut seen) = mpsc::unbounded_channel();
    let consumer = Consumer::builder(topic.as_str())
        .handle_named("see", move |Event(event): Event<OrderPlaced>| {
            let sent = handled.send((event.order_id, Instant::now()));
            async move { sent.map_err(HandlerError::permanent) }
        })
        .retry(RetryPolicy::none())
        .topics(TopicSetup::Create { partitions: None, replication: None });
    let consumer =
        consumer.build(&stage.kafka).expect("a consumer").start().await.expect("started");
    let mut took = Vec::new();
    for n in 0..=events {
        tokio::time::sleep(PAUSE + Duration::from_millis(n % 17)).await;
        let mut transaction = stage.pool.begin().await.expect("a transaction");
        let event = Envelope { topic: topic.clone(), ..stage.event(n) };
        stage.outbox.append(&mut transaction, vec![event]).await.expect("stored");
        // The handler may see it before this side hears of the commit.
        let committing = Instant::now();
        transaction.commit().await.expect("committed");
        let seen = tokio::time::timeout(WAIT, seen.recv()).await.expect("it comes");
        let (order_id, at) = seen.expect("the handler is there");
        assert_eq!(order_id, FIRST_ORDER + n, "each event is handled once, and nothing else is");
        // The first one waits for relay and consumer to begin.
        if n > 0 {
            took.push(at.checked_duration_since(committing).expect("not before its commit"));
        }
    }
    assert!(consumer.stop(WAIT).await.is_clean());
    assert!(relay.stop(Duration::from_secs(10)).await.is_clean());
    took.sort();
    let at = |percent: usize| took[(took.len() * percent / 100).min(took.len() - 1)];
    let ms = |took: Duration| (took.as_secs_f64() * 1e5).round() / 100.0;
    let (p50, p99) = (at(50), at(99));
    let line = json!({
        "bench": "outbox_idle", "arm": "relay", "p50_ms": ms(p50), "p99_ms": ms(p99),
        "gate_ms": ms(GATE), "events": took.len(),
    });
    println!("{line}");
    p50 <= GATE
}
