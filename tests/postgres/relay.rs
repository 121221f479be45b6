//! What a relay does while the broker or the database does not, and how fast it is when idle.

use std::time::{Duration, Instant};

use tidings::retry::Backoff;
use tidings::transport::memory::{Fault, MemoryConfig};

use crate::stage::*;
use crate::support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_overtakes_an_event_of_its_key_that_is_sent_again() {
    let Some(stage) = stage().await else { return };
    let config = MemoryConfig::new("relay").delivery_wait(Duration::from_millis(100)).queue(50);
    let client = stage.broker.connect(config).unwrap();
    let relay = stage.relay().batch(40).backoff(Backoff::fixed(Duration::from_millis(30)));
    let relay = relay.build(&client).unwrap().start();
    for n in 0..60 {
        stage.store_all((0..10).map(|k| event(&format!("k{k}"), n)).collect()).await;
        match n % 10 {
            3 => stage.broker.inject(Fault::ProduceTimesOut { stored: n % 20 == 3 }),
            6 => stage.broker.inject(Fault::BrokerGone(Duration::from_millis(150))),
            _ => {}
        }
    }
    stage.drained().await;
    for (key, numbers) in stage.published() {
        assert_eq!(numbers, (0..60).collect::<Vec<_>>(), "{key}");
    }
    assert!(relay.status().counts().retried() > 0);
    stop(relay).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_relay_publishes_within_50_ms_of_the_commit() {
    let Some(stage) = stage().await else { return };
    let relay = stage.start();
    stage.store_all(vec![event("k", 0)]).await;
    stage.drained().await;
    let machine = Machine::watch();
    let mut took = Vec::new();
    for n in 1..=20 {
        tokio::time::sleep(Duration::from_millis(150)).await;
        let mut transaction = stage.pool.begin().await.unwrap();
        stage.append(&mut transaction, vec![event("k", n)]).await;
        // Longer open than the first looks after a hint: what wakes the relay is the commit.
        tokio::time::sleep(Duration::from_millis(30)).await;
        transaction.commit().await.unwrap();
        let committed = Instant::now();
        eventually("it is published", SOON, || stage.records() == 1 + n as usize).await;
        took.push(committed.elapsed());
    }
    took.sort();
    assert!(took[10] <= Duration::from_millis(50) + machine.late(99).await, "{took:?}");
    stop(relay).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_is_heard_within_50_ms_also_while_a_transaction_that_stored_earlier_stays_open() {
    let Some(stage) = stage().await else { return };
    // What is not heard of comes with the next poll.
    let relay = stage.relay().poll(Duration::from_secs(5));
    let relay = relay.build(&stage.client("relay")).unwrap().start();
    stage.store_all(vec![event("k", 0)]).await;
    stage.drained().await;
    let machine = Machine::watch();
    let mut took = Vec::new();
    for n in 1..=6 {
        // Until its looks after the last hint are more than a second apart.
        tokio::time::sleep(Duration::from_millis(1_400)).await;
        let mut open = stage.pool.begin().await.unwrap();
        let mut soon = stage.pool.begin().await.unwrap();
        stage.append(&mut open, vec![event("open", n)]).await;
        stage.append(&mut soon, vec![event("k", n)]).await;
        soon.commit().await.unwrap();
        let committed = Instant::now();
        eventually("it is published", SOON, || stage.records() == 2 * n as usize).await;
        took.push(committed.elapsed());
        open.commit().await.unwrap();
        eventually("so is the other", SOON, || stage.records() == 1 + 2 * n as usize).await;
    }
    took.sort();
    assert!(took[3] <= Duration::from_millis(50) + machine.late(99).await, "{took:?}");
    stop(relay).await;
}

#[tokio::test]
async fn a_relay_says_what_is_wrong_and_goes_on_when_it_is_not() {
    let Some(stage) = stage().await else { return };
    let relay = stage.relay().ready_within(Duration::from_millis(100));
    let relay = relay.build(&stage.client("relay")).unwrap().start();
    stage.store_all(vec![event("k", 0)]).await;
    stage.drained().await;
    eventually("it is ready", SOON, || relay.status().problems().is_empty()).await;
    stage.execute("ALTER TABLE {outbox} RENAME TO tidings_away").await;
    let says = |what: &str| relay.status().problems().iter().any(|said| said.contains(what));
    eventually("it says so", SOON, || says("the outbox has failed")).await;
    stage.execute("ALTER TABLE {away} RENAME TO tidings_outbox").await;
    stage.store_all(vec![event("k", 1)]).await;
    stage.drained().await;
    assert_eq!(stage.published()["k"], [0, 1]);
    eventually("it is ready again", SOON, || relay.status().problems().is_empty()).await;
    stage.broker.inject(Fault::BrokerGone(Duration::from_secs(15)));
    stage.store_all(vec![event("k", 2)]).await;
    eventually("the oldest is old", SOON, || says("the oldest event")).await;
    stage.drained().await;
    eventually("it is ready once more", SOON, || relay.status().problems().is_empty()).await;
    stop(relay).await;
}

#[tokio::test]
async fn a_stop_waits_for_what_is_on_its_way_and_ends_by_its_deadline_when_that_does_not_come() {
    let Some(stage) = stage().await else { return };
    let relay = stage.start();
    stage.store_all((0..100).map(|n| event(&format!("k{n}"), n)).collect()).await;
    eventually("they are sent", SOON, || stage.records() > 0).await;
    stop(relay).await;
    stage.drained().await;
    stage.broker.inject(Fault::BrokerGone(Duration::from_secs(20)));
    let relay = stage.start();
    stage.store_all(vec![event("k", 0)]).await;
    eventually("it is on its way", SOON, || stage.broker.backlog().queued == 1).await;
    let began = Instant::now();
    let report = relay.stop(Duration::from_millis(300)).await;
    assert_eq!((report.unmarked, report.failure), (1, None));
    assert!(began.elapsed() < Duration::from_secs(2));
    assert_eq!(stage.count("{outbox}").await, 1, "it is published by the next one");
}
