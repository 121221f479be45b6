//! Hooks of a consumer's life, and members that panic.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tidings::consumer::{ConsumerBuilder, RunningConsumer};
use tidings::publisher::Publisher;
use tidings::transport::memory::{Fault, Memory, MemoryBroker, Watcher};
use tidings::transport::{Step, TopicPartition, Transport};

use crate::panics::Panics;
use crate::stage::*;

/// What hooks said, in order.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<String>>>);

impl Said {
    fn add(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    fn count(&self, what: &str) -> usize {
        self.all().iter().filter(|said| said.starts_with(what)).count()
    }
}

/// Every hook there is notes that it was called.
fn hooked(builder: ConsumerBuilder, said: &Said) -> ConsumerBuilder {
    let nobody = |what: &'static str| {
        let said = said.clone();
        move || said.add(what)
    };
    let member = |what: &'static str| {
        let said = said.clone();
        move |n: usize| said.add(format!("{what} {n}"))
    };
    let mains = |what: &'static str| {
        let said = said.clone();
        move |n: usize, partitions: &[TopicPartition]| {
            let mains = partitions.iter().filter(|p| p.topic.as_str() == "paid");
            said.add(format!("{what} {n}: {} of {}", mains.count(), partitions.len()));
        }
    };
    let (record, error, end) = (said.clone(), said.clone(), said.clone());
    builder
        .on_started(nobody("started"))
        .on_creating(member("creating"))
        .on_created(member("created"))
        .on_subscribed(member("subscribed"))
        .on_assigned(mains("assigned"))
        .on_record(move |n, r| record.add(format!("record {n}: {}/{}", r.partition, r.offset)))
        .on_error(move |n, e| error.add(format!("error {n}: {e}")))
        .on_partition_end(move |n, p| {
            if p.topic.as_str() == "paid" {
                end.add(format!("end {n}: {}", p.partition));
            }
        })
        .on_revoked(mains("revoked"))
        .on_stopping(member("stopping"))
        .on_stopped(nobody("stopped"))
}

async fn start<T: Transport + Clone>(builder: ConsumerBuilder, client: &T) -> RunningConsumer {
    builder.build(client).unwrap().start().await.unwrap()
}

fn client(broker: &MemoryBroker) -> Memory {
    broker.client("shop").unwrap()
}

async fn until(broker: &MemoryBroker, holds: impl Fn() -> bool) {
    while !holds() {
        tokio::select! {
            () = broker.changed() => {}
            () = tokio::time::sleep(secs(1)) => {}
        }
    }
}

/// Each event was handled, those of a key in their order, beginning anew where they came again.
fn check(seen: &Seen, events: u32) {
    let mut next = BTreeMap::<u32, u32>::new();
    for n in seen.numbers() {
        let next = next.entry(n % 5).or_insert(n % 5);
        assert!(n <= *next, "{n} came before {next}: {:?}", seen.numbers());
        *next = (*next).max(n + 5);
    }
    for (key, next) in next {
        assert!(next >= events, "key {key} ended before {next}");
    }
}

#[tokio::test(start_paused = true)]
async fn hooks_hear_of_a_members_life_in_order() {
    let broker = MemoryBroker::new();
    let (said, seen) = (Said::default(), Seen::default());
    let running = start(hooked(consumer(&seen, |_| 0), &said), &client(&broker)).await;
    until(&broker, || said.count("end") == 4).await;
    let expected = ["creating 0", "created 0", "started", "subscribed 0", "assigned 0: 4 of 12"];
    assert_eq!(said.all()[..5], expected);
    assert_eq!(said.all()[5..], ["end 0: 0", "end 0: 1", "end 0: 2", "end 0: 3"]);
    let at = Publisher::new(&client(&broker)).publish(paid(1)).await.unwrap().delivered;
    until(&broker, || said.all().len() == 11).await;
    let record = [format!("record 0: {}/0", at.partition), format!("end 0: {}", at.partition)];
    assert_eq!(said.all()[9..], record);
    quiet(&broker).await;
    assert!(running.stop(secs(1)).await.is_clean());
    assert_eq!(said.all()[11..], ["stopping 0", "stopped"]);
}

#[tokio::test(start_paused = true)]
async fn hooks_say_which_of_several_members_it_is_and_hear_of_revokes_and_errors() {
    let broker = MemoryBroker::new();
    let (said, seen) = (Said::default(), Seen::default());
    let running = start(hooked(consumer(&seen, |_| 0).members(2), &said), &client(&broker)).await;
    until(&broker, || said.count("assigned 0: 2") > 0 || said.count("assigned 1: 2") > 0).await;
    for member in 0..2 {
        for hook in ["creating", "created", "subscribed"] {
            assert_eq!(said.count(&format!("{hook} {member}")), 1, "{hook}: {:?}", said.all());
        }
    }
    until(&broker, || running.status().is_ready()).await;
    let other = start(consumer(&Seen::default(), |_| 0), &client(&broker)).await;
    until(&broker, || said.count("revoked") > 0).await;
    broker.inject(Fault::SessionExpired);
    broker.inject(Fault::SessionExpired);
    broker.inject(Fault::SessionExpired);
    Publisher::new(&client(&broker)).publish_all((0..50).map(paid)).await.unwrap();
    quiet(&broker).await;
    assert!(running.stop(secs(1)).await.is_clean() && other.stop(secs(1)).await.is_clean());
    assert_eq!((said.count("stopping"), said.count("stopped")), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn an_end_is_told_again_only_after_more_was_read() {
    let broker = MemoryBroker::new();
    let (said, seen) = (Said::default(), Seen::default());
    let running = start(hooked(consumer(&seen, |_| 0), &said), &client(&broker)).await;
    until(&broker, || said.count("end") == 4).await;
    tokio::time::sleep(secs(60)).await;
    assert_eq!(said.count("end"), 4);
    Publisher::new(&client(&broker)).publish_all((0..5).map(paid)).await.unwrap();
    quiet(&broker).await;
    let touched = broker.ends(&tidings::event::TopicName::from_static("paid"));
    let touched = touched.iter().filter(|(_, end)| *end > 0).count();
    until(&broker, || said.count("end") >= 4 + touched).await;
    assert!(running.stop(secs(1)).await.is_clean());
}

#[tokio::test(start_paused = true)]
async fn a_member_whose_hook_panics_is_started_again_and_loses_nothing() {
    let broker = MemoryBroker::new();
    let seen = Seen::default();
    let calls = Arc::new(AtomicUsize::new(0));
    let builder = consumer(&seen, |_| 0).on_record(move |_, _| {
        assert!(calls.fetch_add(1, Ordering::SeqCst) != 20, "a bug of the user's");
    });
    let mut running = start(builder, &client(&broker)).await;
    let status = running.status().clone();
    until(&broker, || status.is_ready()).await;
    let publisher = Publisher::new(&client(&broker));
    publisher.publish_all((0..100).map(paid)).await.unwrap();
    until(&broker, || !status.is_ready()).await;
    let problems = status.problems();
    assert_eq!(problems.len(), 1, "{problems:?}");
    let expected = "member 0 is down and is started again: it panicked: a bug of the user's";
    assert!(problems[0].starts_with(expected), "{problems:?}");
    assert_eq!(status.partitions(), 0);
    let ended = tokio::time::timeout(secs(5), running.ended()).await;
    assert!(ended.is_err(), "the consumer goes on");
    quiet(&broker).await;
    check(&seen, 100);
    assert_eq!((status.problems(), status.counts().restarts()), (vec![], 1));
    assert!(running.stop(secs(1)).await.is_clean());
}

#[tokio::test(start_paused = true)]
async fn a_bug_on_a_members_task_restarts_that_member_and_the_other_goes_on() {
    let broker = MemoryBroker::new();
    let (seen, said) = (Seen::default(), Said::default());
    let transport = Panics::new(client(&broker));
    let running = start(hooked(consumer(&seen, |_| 0).members(2), &said), &transport).await;
    let status = running.status().clone();
    until(&broker, || status.is_ready()).await;
    transport.commits(1);
    Publisher::new(&client(&broker)).publish_all((0..1_000).map(paid)).await.unwrap();
    until(&broker, || transport.left() == 0).await;
    let problems = status.problems();
    assert!(problems[0].contains("it panicked: a bug in a commit of"), "{problems:?}");
    quiet(&broker).await;
    check(&seen, 1_000);
    until(&broker, || status.is_ready()).await;
    assert_eq!(status.counts().restarts(), 1);
    assert_eq!(
        (said.count("creating"), said.count("created"), said.count("subscribed")),
        (3, 3, 3)
    );
    assert_eq!(status.partitions(), 12);
    assert!(running.stop(secs(1)).await.is_clean());
}

/// Panics at one of the steps that are told on the tasks that handlers run on.
struct PanicsOnce(AtomicUsize);

impl Watcher for PanicsOnce {
    fn stepped(&self, _: u64, _: &Step<'_>) {
        assert!(self.0.fetch_add(1, Ordering::SeqCst) != 30, "a bug beside the handlers");
    }
}

#[tokio::test(start_paused = true)]
async fn a_bug_on_a_task_that_handlers_run_on_restarts_the_member_of_that_task() {
    let broker = MemoryBroker::new();
    broker.watch(Arc::new(PanicsOnce(AtomicUsize::new(0))));
    let seen = Seen::default();
    let running = start(consumer(&seen, |_| 0), &client(&broker)).await;
    Publisher::new(&client(&broker)).publish_all((0..200).map(paid)).await.unwrap();
    let status = running.status().clone();
    until(&broker, || status.problems().iter().any(|p| p.contains("a bug beside"))).await;
    quiet(&broker).await;
    check(&seen, 200);
    assert_eq!(status.counts().restarts(), 1);
    assert!(running.stop(secs(1)).await.is_clean());
}

#[tokio::test(start_paused = true)]
async fn a_member_that_panics_too_often_ends_the_consumer_which_says_why() {
    let broker = MemoryBroker::new();
    let seen = Seen::default();
    let said = Said::default();
    let stops = said.clone();
    let builder = consumer(&seen, |_| 0)
        .on_record(|_, _| panic!("always"))
        .on_stopping(move |n| stops.add(format!("stopping {n}")))
        .restarts(3, secs(600));
    let mut running = start(builder, &client(&broker)).await;
    let status = running.status().clone();
    let began = tokio::time::Instant::now();
    Publisher::new(&client(&broker)).publish(paid(1)).await.unwrap();
    running.ended().await;
    // 1 s, 2 s and 4 s of waiting, and as many groups to join.
    assert!((secs(7)..secs(60)).contains(&began.elapsed()), "{:?}", began.elapsed());
    let why = "member 0: it ended 4 times within 600s, at last: it panicked: always";
    assert_eq!(status.problems(), [format!("it has ended: {why}")]);
    assert_eq!(status.counts().restarts(), 3);
    let report = running.stop(secs(1)).await;
    assert_eq!(report.failures, [why]);
    assert_eq!(said.all(), ["stopping 0"]);
    assert!(seen.numbers().is_empty() && !broker.backlog().is_empty(), "nothing was committed");
}

#[tokio::test(start_paused = true)]
async fn panics_that_are_far_apart_do_not_add_up() {
    let broker = MemoryBroker::new();
    let seen = Seen::default();
    let transport = Panics::new(client(&broker));
    let running = start(consumer(&seen, |_| 0).restarts(1, secs(60)), &transport).await;
    let publisher = Publisher::new(&client(&broker));
    for n in 0..5 {
        transport.commits(1);
        publisher.publish(paid(n)).await.unwrap();
        until(&broker, || transport.left() == 0).await;
        quiet(&broker).await;
        tokio::time::sleep(secs(61)).await;
    }
    assert_eq!(running.status().counts().restarts(), 5);
    assert!(running.status().is_ready());
    assert!(running.stop(secs(1)).await.is_clean());
}

#[tokio::test(start_paused = true)]
async fn a_stop_while_a_member_is_down_ends_at_once_and_says_why_it_was_down() {
    let broker = MemoryBroker::new();
    let transport = Panics::new(client(&broker));
    let said = Said::default();
    let stops = said.clone();
    let builder =
        consumer(&Seen::default(), |_| 0).on_stopping(move |n| stops.add(format!("stopping {n}")));
    let running = start(builder, &transport).await;
    transport.commits(9);
    Publisher::new(&client(&broker)).publish(paid(1)).await.unwrap();
    until(&broker, || transport.left() < 9).await;
    let began = tokio::time::Instant::now();
    let report = running.stop(secs(30)).await;
    assert!(began.elapsed() < secs(1));
    assert!(report.failures[0].contains("a bug in a commit"), "{report:?}");
    assert_eq!(said.all(), ["stopping 0"]);
}

#[tokio::test(start_paused = true)]
async fn hooks_at_the_very_begin_and_end_that_panic_are_harmless() {
    let broker = MemoryBroker::new();
    let seen = Seen::default();
    let once = AtomicUsize::new(0);
    let builder = consumer(&seen, |_| 0)
        .on_started(|| panic!("started"))
        .on_creating(move |_| assert!(once.fetch_add(1, Ordering::SeqCst) > 0, "creating"))
        .on_stopping(|_| panic!("stopping"))
        .on_stopped(|| panic!("stopped"));
    let running = start(builder, &client(&broker)).await;
    Publisher::new(&client(&broker)).publish(paid(1)).await.unwrap();
    until(&broker, || running.status().counts().handled() == 1).await;
    assert_eq!(running.status().counts().restarts(), 1, "the member that was not created");
    assert!(running.stop(secs(1)).await.is_clean());
    assert_eq!(seen.numbers(), [1]);
    assert!(broker.backlog().is_empty());
}
