//! When offsets are committed, and that they never pass an unfinished event.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tidings::consumer::*;
use tidings::publisher::Publisher;
use tidings::retry::RetryPolicy;
use tidings::transport::kafka::Kafka;
use tokio::sync::Semaphore;

use crate::events::*;
use crate::inspect::{Inspector, read};
use crate::stage::*;
use crate::support::*;

const HOUR: Duration = Duration::from_secs(3_600);
/// More events than there are.
const NEVER: u32 = 1_000_000;

fn committing(broker: &str, every: u32, interval: Duration) -> Kafka {
    let config = config("commits", broker).commit_every(every).commit_interval(interval);
    Kafka::connect(config).unwrap()
}

event!(Counted, "commits.counted");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_are_committed_after_so_many_events_and_not_before() {
    let Some(broker) = kafka_address() else { return };
    let kafka = committing(&broker, 10, HOUR);
    let running = consumer("counted", 1).handle_named("ok", take::<Counted>).start_on(&kafka).await;
    let publisher = Publisher::new(&kafka);
    let offsets = Inspector::new(&broker, &named("counted"));
    let main = topic(Counted::TOPIC);
    // One after another, so that they are not counted as one lot.
    for n in 0..15 {
        publisher.publish(Counted::new("k", n)).await.unwrap();
        let handled = || running.status().counts().handled() == u64::from(n) + 1;
        eventually("it is handled", SOON, handled).await;
        if n < 9 {
            assert_eq!(offsets.committed(&main, 0), None, "after {n}");
        }
    }
    eventually("ten are committed", SOON, || offsets.committed(&main, 0) == Some(10)).await;
    stop(running).await;
    assert_eq!(offsets.committed(&main, 0), Some(15), "a stop commits the rest");
}

event!(Timed, "commits.timed");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_are_committed_after_so_much_time() {
    let Some(broker) = kafka_address() else { return };
    let every = Duration::from_millis(500);
    let kafka = committing(&broker, NEVER, every);
    let running = consumer("timed", 1).handle_named("ok", take::<Timed>).start_on(&kafka).await;
    Publisher::new(&kafka).publish(Timed::new("k", 0)).await.unwrap();
    let published = Instant::now();
    let offsets = Inspector::new(&broker, &named("timed"));
    let main = topic(Timed::TOPIC);
    eventually("it is committed", SOON, || offsets.committed(&main, 0) == Some(1)).await;
    println!("one event, commit interval {every:?}: committed after {:?}", published.elapsed());
    stop(running).await;
}

event!(Moved, "commits.moved");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_moved_to_a_tier_is_committed_at_once() {
    let Some(broker) = kafka_address() else { return };
    let kafka = committing(&broker, NEVER, HOUR);
    let running = consumer("moved", 1)
        .handle_named("fail", answer::<Moved>(from_a_tier))
        .retry(tiers([HOUR]))
        .start_on(&kafka)
        .await;
    let offsets = Inspector::new(&broker, &named("moved"));
    let (publisher, main) = (Publisher::new(&kafka), topic(Moved::TOPIC));
    let machine = Machine::watch();
    let mut committed_at = Vec::new();
    for n in 0..5 {
        publisher.publish(Moved::new("k", n)).await.unwrap();
        let committed = || offsets.committed(&main, 0) == Some(i64::from(n) + 1);
        eventually("it is committed", SOON, committed).await;
        committed_at.push(now());
    }
    let tier = read(&kafka, &Moved::beside("retry.1h"), 5).await;
    let took: Vec<_> = committed_at
        .iter()
        .zip(&tier)
        .map(|(at, record)| at - record.timestamp.unwrap().millis())
        .collect();
    println!("from a retry record's append to its source's commit: {took:?} ms");
    let most = Duration::from_millis(500) + machine.late(100).await;
    assert!(took.iter().all(|ms| (0..=most.as_millis() as i64).contains(ms)), "{took:?}");
    stop(running).await;
}

event!(Held, "commits.held");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_never_passes_an_event_that_is_not_finished() {
    let Some(broker) = kafka_address() else { return };
    let kafka = committing(&broker, 1, Duration::from_millis(100));
    let gate = Arc::new(Semaphore::new(0));
    let opens = gate.clone();
    let running = consumer("held", 1)
        .handle_named("hold", move |Event(e): Event<Held>| {
            let gate = opens.clone();
            async move {
                if e.n == 5 {
                    gate.acquire().await.unwrap().forget();
                }
                Ok::<(), HandlerError>(())
            }
        })
        .start_on(&kafka)
        .await;
    let events = (0..200).map(|n| Held::new(format!("k{n}"), n));
    Publisher::new(&kafka).publish_all(events).await.unwrap();
    let offsets = Inspector::new(&broker, &named("held"));
    let main = topic(Held::TOPIC);
    let handled = || running.status().counts().handled();
    eventually("all others are done", SOON, || handled() == 199).await;
    eventually("what is before it is committed", SOON, || offsets.committed(&main, 0) == Some(5))
        .await;
    // More work and more commits change nothing.
    Publisher::new(&kafka).publish(Held::new("k", 200)).await.unwrap();
    eventually("one more is done", SOON, || handled() == 200).await;
    for _ in 0..20 {
        assert_eq!(offsets.committed(&main, 0), Some(5));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    gate.add_permits(1);
    eventually("all are committed", SOON, || offsets.committed(&main, 0) == Some(201)).await;
    stop(running).await;
}

event!(Third, "commits.third");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoke_is_committed_though_the_group_gathers_anew_while_its_work_is_waited_for() {
    const EVENTS: u32 = 300;
    let Some(broker) = kafka_address() else { return };
    let (begun, seen) = (Seen::default(), Seen::default());
    let gate = Arc::new(Semaphore::new(0));
    let member = async || {
        let (begun, seen, gate) = (begun.clone(), seen.clone(), gate.clone());
        consumer("third", 6)
            .revoke_drain(SOON)
            .concurrency(EVENTS as usize)
            .handle_named("hold", move |Event(e): Event<Third>, delivery: Delivery| {
                let (begun, seen, gate) = (begun.clone(), seen.clone(), gate.clone());
                async move {
                    begun.add(e.n);
                    drop(gate.acquire().await.unwrap());
                    seen.add(Ran::new(e.n, &delivery));
                    Ok::<(), HandlerError>(())
                }
            })
            .start_on(&client("third", &broker))
            .await
    };
    let first = member().await;
    let publisher = Publisher::new(&client("source", &broker));
    let publish = async |round: u32| {
        let events = (0..EVENTS).map(|n| Third::new(format!("k{n}"), round * EVENTS + n));
        publisher.publish_all(events).await.unwrap();
    };
    publish(0).await;
    // All of them, so that there is work of every partition that may be taken.
    eventually("it has begun with all", SOON, || begun.len() == EVENTS as usize).await;
    let offsets = Inspector::new(&broker, &named("third"));
    let is = |members, state: &str| offsets.group(&named("third")) == (members, state.to_owned());
    // The first one is told to give partitions up when both have their parts, and waits for its handlers.
    let second = member().await;
    eventually("both have their parts", SOON, || is(2, "Stable")).await;
    let third = member().await;
    eventually("the group gathers anew", SOON, || is(3, "PreparingRebalance")).await;
    gate.add_permits(EVENTS as usize);
    eventually("three have their parts", SOON, || is(3, "Stable")).await;
    // What is read of a partition now is read behind what would be read of it again.
    publish(1).await;
    let all = || seen.all().iter().map(|ran| ran.n).collect::<BTreeSet<_>>().len();
    eventually("all is handled", SOON, || all() == 2 * EVENTS as usize).await;
    assert_eq!(seen.len(), 2 * EVENTS as usize, "none ran twice");
    for running in [first, second, third] {
        stop(running).await;
    }
}

event!(Plain, "commits.plain");
event!(Tiered, "commits.tiered");

async fn goes_on<E: Numbered>(group: &str, policy: RetryPolicy) {
    let Some(broker) = kafka_address() else { return };
    let kafka = client("commits", &broker);
    let seen = Seen::default();
    let publisher = Publisher::new(&kafka);
    for round in 0..3_u32 {
        let running = consumer(group, 2)
            .handle_named("note", note::<E>(seen.clone(), done))
            .retry(policy.clone())
            .start_on(&kafka)
            .await;
        for n in 0..10 {
            publisher.publish(E::new(format!("k{n}"), 10 * round + n)).await.unwrap();
        }
        let all = || seen.len() >= 10 * (round as usize + 1);
        eventually("all are handled", SOON, all).await;
        stop(running).await;
    }
    let mut all: Vec<_> = seen.all().iter().map(|ran| ran.n).collect();
    all.sort_unstable();
    assert_eq!(all, (0..30).collect::<Vec<_>>(), "each once over three starts");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_with_tiers_goes_on_where_it_stopped() {
    goes_on::<Tiered>("tiered", RetryPolicy::tiers([HOUR])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_without_tiers_goes_on_where_it_stopped() {
    goes_on::<Plain>("plain", RetryPolicy::none()).await;
}
