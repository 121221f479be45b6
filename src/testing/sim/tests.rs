//! Crashes where they are drawn: before each poll of a start, after each operation, and what is left then.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::time::sleep;

use super::contract::Duties;
use super::journal::{Did, What};
use super::plan::{End, Moment, Plan};
use super::{Process, Report, World, run_planned};
use crate::consumer::{Consumer, Event, HandlerError, Order, TopicSetup};
use crate::event::{IntegrationEvent, InvalidKey, PartitionKey, TopicName};
use crate::publisher::Publisher;
use crate::retry::RetryPolicy;
use crate::transport::memory::{MemoryConfig, Operation};

const TOPIC: TopicName = TopicName::from_static("things");

#[derive(Clone, Serialize, Deserialize)]
struct Happened {
    n: u32,
}

impl IntegrationEvent for Happened {
    const NAME: &'static str = "happened";

    fn topics() -> Vec<TopicName> {
        vec![TOPIC]
    }

    fn topic(&self) -> TopicName {
        TOPIC
    }

    fn partition_key(&self) -> Result<Option<PartitionKey>, InvalidKey> {
        PartitionKey::new(format!("k{}", self.n % 3)).map(Some)
    }
}

fn retry() -> RetryPolicy {
    RetryPolicy::tiers([Duration::from_millis(100)]).immediate(0)
}

async fn consume(life: super::Life) -> Result<(), crate::error::BoxError> {
    // Every third fails once and goes over the tier.
    let handle = |Event(event): Event<Happened>, delivery: crate::consumer::Delivery| async move {
        sleep(Duration::from_millis(5)).await;
        match event.n % 3 == 0 && delivery.attempt() == 1 {
            true => Err(HandlerError::transient("not yet")),
            false => Ok(()),
        }
    };
    let builder = Consumer::builder("group").retry(retry()).members(2);
    let builder = builder.handle_named("handle", handle);
    let topics = TopicSetup::Create { partitions: Some(2), replication: None };
    life.consume(builder.topics(topics).build(&life.client)?).await
}

async fn simulate(world: World) {
    let duties = Duties::new("group", Order::ByKey, retry()).event::<Happened>("handle");
    world.expect(duties.unwrap());
    let config = MemoryConfig::new("group").session_timeout(Duration::from_secs(2));
    world.run(Process::new("group-0", config, consume).consumes("group"));
    let next = Arc::new(AtomicU32::new(0));
    let events = next.clone();
    world.run(Process::new("shop", MemoryConfig::new("shop"), move |life| {
        let events = events.clone();
        async move {
            let publisher = Publisher::new(&life.client);
            while events.load(Ordering::SeqCst) < 6 {
                let n = events.load(Ordering::SeqCst);
                if publisher.publish(Happened { n }).await.is_ok() {
                    events.fetch_add(1, Ordering::SeqCst);
                }
            }
            Ok(())
        }
    }));
    while next.load(Ordering::SeqCst) < 6 {
        sleep(Duration::from_millis(50)).await;
    }
}

/// The consumer crashes at one moment, counted from its first start.
fn crashed(seed: u64, moment: Moment) -> Report {
    let (at, down) = (Duration::ZERO, Duration::from_millis(500));
    let end = End { process: 0, at, moment, drain: None, down, again: None };
    let plan = Plan { ends: vec![end], yields: [0, 64][(seed % 2) as usize], ..Plan::default() };
    run_planned(seed, plan, simulate)
}

fn crashes(report: &Report) -> usize {
    let is_one = |what: &What| matches!(what, What::Crashed { .. });
    report.journal.with(|entries| entries.iter().filter(|entry| is_one(&entry.what)).count())
}

#[test]
fn a_crash_before_any_poll_loses_nothing_and_nothing_runs_after_it() {
    let mut begun_before = 0;
    for poll in 0..250 {
        let report = crashed(u64::from(poll), Moment::Poll(poll));
        assert!(report.failure().is_none(), "poll {poll}: {}", report.failure().unwrap());
        assert_eq!(crashes(&report), 1, "poll {poll}");
        report.journal.with(|entries| {
            let crash = entries.iter().position(|e| matches!(e.what, What::Crashed { .. }));
            let (before, after) = entries.split_at(crash.unwrap());
            let What::Crashed { client } = after[0].what else { unreachable!() };
            let steps = |entries: &[super::journal::Entry]| {
                let is_its = |what: &What| matches!(what, What::Step { client: c, step, .. } if *c == client && step.did == Did::Begin);
                entries.iter().filter(|entry| is_its(&entry.what)).count()
            };
            assert_eq!(steps(after), 0, "poll {poll}");
            begun_before += usize::from(steps(before) > 0);
        });
    }
    assert!((1..250).contains(&begun_before), "some fall on the start and some on the work");
}

#[test]
fn a_crash_after_an_operation_is_the_last_thing_of_that_client() {
    for operations in 1..=10 {
        let report = crashed(7, Moment::Operation(operations));
        assert!(report.failure().is_none(), "{operations}: {}", report.failure().unwrap());
        report.journal.with(|entries| {
            let crash = entries.iter().position(|e| matches!(e.what, What::Crashed { .. }));
            let (before, after) = entries.split_at(crash.unwrap());
            let What::Crashed { client } = after[0].what else { unreachable!() };
            let before = before.last().unwrap();
            assert_eq!(before.at, after[0].at, "{operations}: not a moment later");
            let stores = |what: &What| {
                matches!(what, What::Broker(Operation::Appended { client: c, .. }) if *c == client)
            };
            assert!(!after.iter().any(|entry| stores(&entry.what)), "{operations}");
        });
    }
}

#[tokio::test(start_paused = true)]
async fn every_task_that_the_library_starts_for_a_process_ends_with_it() {
    let world = World::planned(0, Plan::default());
    let alive = || Handle::current().metrics().num_alive_tasks();
    let before = alive();
    let config = MemoryConfig::new("group");
    world.run(Process::new("group-0", config, move |life| async move {
        consume(life.clone()).await?;
        Publisher::new(&life.client).publish(Happened { n: 1 }).await?;
        let transactions = crate::transport::Transport::transactions(&life.client, "id")?;
        transactions.begin().await?;
        life.spawn(std::future::pending());
        Ok(())
    }));
    sleep(Duration::from_secs(5)).await;
    let started = alive() - before;
    assert!(started > 6, "two members, their shards, sources, a producer: {started}");
    let life = world.life(0).unwrap();
    life.pace.crash();
    sleep(Duration::from_secs(5)).await;
    life.end();
    sleep(Duration::from_millis(1)).await;
    assert_eq!(alive(), before);
}

#[test]
fn the_order_of_ready_tasks_is_drawn() {
    let order = |yields| {
        let plan = Plan { yields, ..Plan::default() };
        run_planned(3, plan, simulate).journal.hash()
    };
    assert_eq!(order(64), order(64));
    assert_ne!(order(0), order(64));
}
