//! `outbox_idle`: how long after its commit an event of an idle system is acknowledged by the broker.
#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use std::time::{Duration, Instant};

use serde_json::json;
use tidings::outbox::Relay;

use crate::measure::number;
use crate::stage::Stage;

/// At the median.
const GATE: Duration = Duration::from_millis(50);
/// Longer than a relay looks again after the last event.
const PAUSE: Duration = Duration::from_millis(120);

pub(crate) async fn run(stage: &Stage) -> bool {
    stage.execute("TRUNCATE {outbox}").await;
    let events = number("TIDINGS_BENCH_IDLE", 100);
    let relay = Relay::builder(stage.store.clone()).build(&stage.kafka).expect("a relay").start();
    let published = || relay.status().counts().published();
    let mut took = Vec::new();
    for n in 0..=events {
        tokio::time::sleep(PAUSE + Duration::from_millis(n % 17)).await;
        let mut transaction = stage.pool.begin().await.expect("a transaction");
        stage.outbox.append(&mut transaction, vec![stage.event(n)]).await.expect("stored");
        transaction.commit().await.expect("committed");
        let committed = Instant::now();
        while published() <= n {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        // The first one waits for the relay to begin.
        if n > 0 {
            took.push(committed.elapsed());
        }
    }
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
