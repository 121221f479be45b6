//! What goes wrong, by script and by seed.

use tidings::consumer::{Consumer, Event, HandlerError, RunningConsumer};
use tidings::event::TopicName;
use tidings::publisher::{PublishError, Publisher};
use tidings::transport::TopicSetup;
use tidings::transport::memory::{Fault, FaultPlan, Memory, MemoryBroker};
use tokio::time::Instant;

use crate::stage::*;

const PAID: TopicName = TopicName::from_static("paid");

async fn start(client: &Memory, seen: &Seen) -> RunningConsumer {
    consumer(seen, |_| 0).build(client).unwrap().start().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_is_gone_for_a_while_loses_nothing() {
    let broker = MemoryBroker::new();
    let seen = Seen::default();
    let _running = start(&broker.client("mailer").unwrap(), &seen).await;
    let publisher = Publisher::new(&broker.client("shop").unwrap());
    broker.inject(Fault::BrokerGone(secs(20)));
    assert!(publisher.problem().is_some());
    publisher.publish(paid(1)).await.unwrap();
    assert!(publisher.problem().is_none());
    quiet(&broker).await;
    assert_eq!(seen.numbers(), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_publish_fails_within_its_own_time_while_the_broker_is_gone() {
    let broker = MemoryBroker::new();
    let publisher = Publisher::new(&broker.client("shop").unwrap());
    broker.inject(Fault::BrokerGone(secs(120)));
    let began = Instant::now();
    let error = publisher.publish(paid(1)).await.unwrap_err();
    assert!(error.is_indefinite(), "{error}");
    assert_eq!(began.elapsed().as_secs(), 30);
    assert!(broker.records(&PAID).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_lost_acknowledgement_doubles_nothing() {
    let broker = MemoryBroker::new();
    let publisher = Publisher::new(&broker.client("shop").unwrap());
    broker.inject(Fault::AcknowledgementLost);
    publisher.publish_all((0..10).map(paid)).await.unwrap();
    assert_eq!(broker.records(&PAID).len(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_publish_that_times_out_was_stored_or_not_and_says_that_it_does_not_know() {
    for stored in [false, true] {
        let broker = MemoryBroker::new();
        let publisher = Publisher::new(&broker.client("shop").unwrap());
        broker.inject(Fault::ProduceTimesOut { stored });
        let error = publisher.publish(paid(1)).await.unwrap_err();
        assert!(matches!(error, PublishError::NotAcknowledged { .. }) && error.is_indefinite());
        assert_eq!(broker.records(&PAID).len(), usize::from(stored));
        publisher.publish(paid(2)).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_stored_twice_is_delivered_twice_with_the_same_ids() {
    let broker = MemoryBroker::new();
    let seen = Seen::default();
    let client = broker.client("mailer").unwrap();
    let _running = start(&client, &seen).await;
    broker.inject(Fault::Duplicated);
    Publisher::new(&client).publish(paid(1)).await.unwrap();
    quiet(&broker).await;
    assert_eq!(seen.numbers(), [1, 1]);
    let ids: Vec<_> =
        broker.records(&PAID).iter().map(|r| r.headers.get("ce_id").map(<[u8]>::to_vec)).collect();
    assert_eq!(ids[0], ids[1]);
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_is_taken_in_the_middle_of_its_handlers_repeats_and_loses_nothing() {
    let broker = MemoryBroker::new();
    let seen = Seen::default();
    let (one, two) = (broker.client("one").unwrap(), broker.client("two").unwrap());
    let _running = (start_slow(&one, &seen).await, start_slow(&two, &seen).await);
    let publisher = Publisher::new(&one);
    for round in 0..20 {
        publisher.publish_all((0..20).map(|n| paid(20 * round + n))).await.unwrap();
        broker.inject(Fault::Rebalance);
    }
    quiet(&broker).await;
    let mut numbers = seen.numbers();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..400).collect::<Vec<_>>());
}

/// Each event takes 50 ms, which a revoke waits for.
async fn start_slow(client: &Memory, seen: &Seen) -> RunningConsumer {
    let seen = seen.clone();
    let mail = move |Event(event): Event<Paid>| {
        let seen = seen.clone();
        async move {
            tokio::time::sleep(secs(1) / 20).await;
            seen.add(&event);
            Ok::<(), HandlerError>(())
        }
    };
    let topics = TopicSetup::Create { partitions: Some(4), replication: None };
    let consumer = Consumer::builder("mailer").handle_named("mail", mail);
    consumer.topics(topics).build(client).unwrap().start().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_member_that_the_group_has_thrown_out_loses_nothing_and_joins_again() {
    let broker = MemoryBroker::new();
    let seen = Seen::default();
    let client = broker.client("one").unwrap();
    let running = start_slow(&client, &seen).await;
    Publisher::new(&client).publish_all((0..100).map(paid)).await.unwrap();
    tokio::time::sleep(secs(1)).await;
    broker.inject(Fault::SessionExpired);
    quiet(&broker).await;
    let mut numbers = seen.numbers();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers, (0..100).collect::<Vec<_>>());
    assert!(running.status().is_ready(), "{:?}", running.status().problems());
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_that_moves_delays_commits_and_loses_none() {
    let broker = MemoryBroker::new();
    let seen = Seen::default();
    let client = broker.client("one").unwrap();
    let _running = start(&client, &seen).await;
    Publisher::new(&client).publish(paid(1)).await.unwrap();
    quiet(&broker).await;
    let began = Instant::now();
    broker.inject(Fault::CoordinatorMoved(secs(4)));
    Publisher::new(&client).publish(paid(2)).await.unwrap();
    quiet(&broker).await;
    assert_eq!(seen.numbers(), [1, 2]);
    assert!(began.elapsed() >= secs(4), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn slow_fetches_only_take_longer() {
    let broker = MemoryBroker::new();
    let seen = Seen::default();
    let client = broker.client("one").unwrap();
    let _running = start(&client, &seen).await;
    tokio::time::sleep(secs(1)).await;
    let began = Instant::now();
    broker.inject(Fault::SlowFetch(secs(3)));
    Publisher::new(&client).publish(paid(1)).await.unwrap();
    quiet(&broker).await;
    assert!(began.elapsed() >= secs(3), "{:?}", began.elapsed());
    assert_eq!(seen.numbers(), [1]);
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_makes_the_same_faults_happen() {
    let plan = |seed| FaultPlan::seeded(seed, 20, secs(60));
    assert_eq!(plan(7), plan(7));
    assert_ne!(plan(7), plan(8));
    let broker = MemoryBroker::new();
    let seen = Seen::default();
    let client = broker.client("one").unwrap();
    let _running = start(&client, &seen).await;
    broker.plan(&plan(7));
    let publisher = Publisher::new(&client);
    for n in 0..60 {
        // What is not acknowledged is published again, as its caller would.
        while publisher.publish(paid(n)).await.is_err() {}
        tokio::time::sleep(secs(1)).await;
    }
    quiet(&broker).await;
    assert_eq!(broker.faults(), 20);
    let mut numbers = seen.numbers();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers, (0..60).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_steps_makes_no_event_of_a_tier_early_nor_late() {
    for by in [-3_600_000, 3_600_000] {
        let broker = MemoryBroker::new();
        let seen = Seen::default();
        let client = broker.client("one").unwrap();
        let _running = consumer(&seen, |_| 1).build(&client).unwrap().start().await.unwrap();
        Publisher::new(&client).publish(paid(1)).await.unwrap();
        tokio::time::sleep(secs(1)).await;
        broker.inject(Fault::ClockSteps { client: 0, by });
        quiet(&broker).await;
        let seen = seen.all();
        let waited = seen[1].1.duration_since(seen[0].1);
        assert!(waited >= secs(5) && waited < secs(6), "{by}: {waited:?}");
    }
}
