//! Row 30: the broker goes away at full load.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tidings::consumer::{Event, HandlerError};
use tidings::event::{EventId, header};
use tidings::publisher::Publisher;
use tidings::transport::kafka::Kafka;
use tokio::sync::Semaphore;

use crate::broker::OwnBroker;
use crate::events::*;
use crate::inspect::Inspector;
use crate::stage::{StartOn, consumer, stop, tiers};
use crate::support::*;

event!(Flood, "outage.flood");

const CAPACITY: u32 = 2_000;
const TASKS: u32 = 64;
const AWAY: Duration = Duration::from_secs(60);
const SEND_WAIT: Duration = Duration::from_secs(1);
const DELIVERY_WAIT: Duration = Duration::from_secs(4);

/// Memory of this process in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or("VmRSS: 0 kB");
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[derive(Default)]
struct Ledger {
    /// Acknowledged to a publisher that waited.
    acknowledged: BTreeSet<EventId>,
    /// Queued by a publisher that does not wait.
    queued: BTreeSet<EventId>,
    /// The longest that a publish took to fail.
    slowest: Duration,
    failed: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_broker_away_at_full_load_publishers_fail_in_time_and_close_lists_what_is_left() {
    let Some(broker) = OwnBroker::start(&[]).await else { return };
    let config = config("flood", &broker.address)
        .queue_capacity(CAPACITY)
        .send_wait(SEND_WAIT)
        .message_timeout(DELIVERY_WAIT)
        .delivery_wait(DELIVERY_WAIT);
    let kafka = Kafka::connect(config).unwrap();
    let main = topic(Flood::TOPIC);
    create_topics(&kafka, &[(main.as_str(), 3, false)]).await;
    let publisher = Publisher::new(&kafka);
    let (ledger, stop) =
        (Arc::new(Mutex::new(Ledger::default())), Arc::new(AtomicBool::new(false)));
    let tried = Arc::new(AtomicU64::new(0));
    let big = "x".repeat(1_000);
    let mut load = Vec::new();
    for task in 0..TASKS {
        let (publisher, ledger, stop) = (publisher.clone(), ledger.clone(), stop.clone());
        let (tried, key) = (tried.clone(), format!("{task}{big}"));
        load.push(tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                tried.fetch_add(1, Ordering::Relaxed);
                let began = Instant::now();
                // Half of them wait for the acknowledgement, half do not.
                let failed = if task % 2 == 0 {
                    let published = publisher.publish(Flood::new(key.clone(), task)).await;
                    published.map(|p| ledger.lock().unwrap().acknowledged.insert(p.id)).is_err()
                } else {
                    let queued = publisher.publish_and_forget(Flood::new(key.clone(), task)).await;
                    tokio::task::yield_now().await;
                    queued.map(|id| ledger.lock().unwrap().queued.insert(id)).is_err()
                };
                if failed {
                    let mut ledger = ledger.lock().unwrap();
                    ledger.failed += 1;
                    ledger.slowest = ledger.slowest.max(began.elapsed());
                }
            }
        }));
    }
    let counts = || (publisher.counts().acknowledged(), publisher.counts().failed());
    eventually("it is at full load", SOON, || counts().0 > 5_000).await;
    let memory = resident();
    broker.kill().await;
    let down = Instant::now();
    eventually("publishers fail", SOON, || ledger.lock().unwrap().failed > 100).await;
    // Each try is one receipt. What is not settled is in the queue, or with a task that waits for room.
    let open = || {
        let begun = tried.load(Ordering::Relaxed);
        let (acknowledged, failed) = counts();
        begun.saturating_sub(acknowledged + failed)
    };
    let (mut most, mut most_open) = (0, 0);
    eventually("it is away for a minute", 2 * AWAY, || {
        (most, most_open) = (most.max(resident()), most_open.max(open()));
        down.elapsed() > AWAY
    })
    .await;
    let grown = most.saturating_sub(memory);
    println!(
        "broker away for {:?} at full load: {} tries, slowest failure {:?}, at most {most_open} open, memory grew by {grown} KiB",
        down.elapsed(),
        tried.load(Ordering::Relaxed),
        ledger.lock().unwrap().slowest,
    );
    let places = u64::from(CAPACITY);
    assert!(most_open >= places, "the queue was full: {most_open} open");
    assert!(most_open <= places + u64::from(TASKS), "{most_open} records are held for {places}");
    assert!(grown < 64 * 1024, "memory grew by {grown} KiB");
    let bound = SEND_WAIT + DELIVERY_WAIT + Duration::from_secs(1);
    let slowest = ledger.lock().unwrap().slowest;
    assert!(slowest < bound, "a publish took {slowest:?} to fail");

    // Closed while the load goes on, with the queue filled anew since it last timed out.
    let (failed, tries) = (counts().1, || tried.load(Ordering::Relaxed));
    eventually("what is queued times out", SOON, || counts().1 > failed + 500).await;
    let before = tries();
    eventually("the queue fills again", SOON, || tries() > before + 500).await;
    let within = Duration::from_secs(2);
    let began = Instant::now();
    let left = publisher.close(within).await;
    let took = began.elapsed();
    println!("close({within:?}) took {took:?} and lists {} ids", left.len());
    assert!(took < within + Duration::from_secs(2), "{took:?}");
    stop.store(true, Ordering::Relaxed);
    for task in load {
        task.await.unwrap();
    }
    let left: BTreeSet<_> = left.into_iter().collect();
    assert!(!left.is_empty() && left.len() <= CAPACITY as usize, "{}", left.len());

    broker.start_again().await;
    let reader = client("reader", &broker.address);
    let inspector = Inspector::new(&broker.address, "none");
    let acknowledged = ledger.lock().unwrap().acknowledged.clone();
    let deadline = Instant::now() + SOON;
    // A broker that was killed shows the end of its log only once it leads again.
    let stored = loop {
        let mut stored: BTreeMap<EventId, usize> = BTreeMap::new();
        for record in inspector.read_all(&reader, &main).await {
            let id = record.headers.get_str(tidings::event::header::ID).unwrap();
            *stored.entry(EventId::parse(id).unwrap()).or_default() += 1;
        }
        let all_are_there = acknowledged.iter().all(|id| stored.contains_key(id));
        if all_are_there || Instant::now() >= deadline {
            break stored;
        }
    };
    assert!(stored.values().all(|times| *times == 1), "nothing is there twice");
    let listed = left.iter().filter(|id| stored.contains_key(id)).count();
    assert_eq!(listed, 0, "on the list, and there all the same");
    let ledger = ledger.lock().unwrap();
    let lost: Vec<_> = ledger.acknowledged.iter().filter(|id| !stored.contains_key(id)).collect();
    assert!(lost.is_empty(), "acknowledged and not there: {lost:?}");
    assert!(ledger.acknowledged.is_disjoint(&left), "acknowledged and on the list");
    let (acknowledged, failed) = counts();
    assert_eq!(acknowledged + failed, tries(), "each try has come to its one end");
    // Of those that nobody waited for: each is there, or on the list, or was counted as failed before.
    let open = ledger.queued.iter().filter(|id| !stored.contains_key(id) && !left.contains(id));
    let open = open.count() as u64;
    println!(
        "acknowledged {acknowledged}, failed {failed}, stored {}, given up before the close {open}",
        stored.len()
    );
    assert!(acknowledged <= stored.len() as u64);
    assert!(open <= failed, "{open} events are neither stored, nor listed, nor counted as failed");
}

event!(Late, "outage.late");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_times_out_during_a_close_is_on_its_list() {
    let kafka = Kafka::connect(
        config("late", "127.0.0.1:1")
            .message_timeout(Duration::from_secs(1))
            .delivery_wait(Duration::from_secs(1)),
    )
    .unwrap();
    let publisher = Publisher::new(&kafka);
    let mut queued = BTreeSet::new();
    for n in 0..100 {
        queued.insert(publisher.publish_and_forget(Late::new("k", n)).await.unwrap());
    }
    let left = publisher.close(Duration::from_secs(10)).await;
    assert_eq!(left.into_iter().collect::<BTreeSet<_>>(), queued);
    assert_eq!(publisher.counts().failed(), 100);
    assert!(publisher.close(Duration::ZERO).await.is_empty(), "a later close answers nothing");
}

event!(Held, "outage.held");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_that_are_lost_while_they_are_held_are_read_on_when_they_come_back() {
    const EVENTS: u32 = 40;
    let Some(broker) = OwnBroker::start(&[]).await else { return };
    let kafka = client("held", &broker.address);
    let away = Arc::new(AtomicBool::new(true));
    let world = away.clone();
    let handler = move |Event(_): Event<Held>| {
        let away = world.load(Ordering::SeqCst);
        async move { if away { Err(HandlerError::outage("the world is away")) } else { Ok(()) } }
    };
    let running = consumer("held", 2).handle_named("handler", handler).start_on(&kafka).await;
    let publisher = Publisher::new(&client("asker", &broker.address));
    let events = (0..EVENTS).map(|n| Held::new(format!("k{}", n % 8), n));
    publisher.publish_all(events).await.unwrap();
    let told =
        |what: &str| running.status().problems().iter().any(|problem| problem.contains(what));
    eventually("the partitions are held", SOON, || told("reports an outage")).await;
    broker.kill().await;
    eventually("the partitions are lost", AWAY, || told("assign partitions")).await;
    broker.start_again().await;
    away.store(false, Ordering::SeqCst);
    let all = || running.status().counts().handled() == u64::from(EVENTS);
    eventually("all are handled", 2 * AWAY, all).await;
    let counts = running.status().counts();
    assert_eq!((counts.retried(), counts.dead_lettered(), counts.dropped()), (0, 0, 0));
    stop(running).await;
}

event!(Asked, "outage.asked");
event!(Answered, "outage.answered");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_handlers_answer_while_the_broker_is_away_is_published_later_and_no_handler_runs_again()
 {
    const EVENTS: u32 = 40;
    const BEFORE: u32 = 10;
    let Some(broker) = OwnBroker::start(&[]).await else { return };
    let short = Duration::from_secs(2);
    // Nobody is thrown out while the broker is away: what was begun stays with its member.
    let config = config("answers", &broker.address).session_timeout(2 * AWAY);
    let config = config.message_timeout(short).delivery_wait(short);
    let kafka = Kafka::connect(config).unwrap();
    let answers = topic(Answered::TOPIC);
    create_topics(&kafka, &[(answers.as_str(), 2, false)]).await;
    let (calls, gate) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Semaphore::new(0)));
    let (called, opened) = (calls.clone(), gate.clone());
    let answer = move |Event(Asked { key, n }): Event<Asked>| {
        let (called, gate) = (called.clone(), gate.clone());
        async move {
            called.lock().unwrap().push(n);
            gate.acquire().await?.forget();
            Ok::<_, HandlerError>(Answered::new(key, n))
        }
    };
    let running = consumer("answers", 2)
        .handle_named("answer", answer)
        .retry(tiers([Duration::from_secs(1)]))
        .concurrency(EVENTS as usize)
        .start_on(&kafka)
        .await;
    let publisher = Publisher::new(&client("asker", &broker.address));
    // A key for each: all are begun before the broker goes.
    let asked = (0..EVENTS).map(|n| Asked::new(format!("k{n}"), n));
    publisher.publish_all(asked).await.unwrap();
    eventually("all are begun", SOON, || calls.lock().unwrap().len() == EVENTS as usize).await;
    opened.add_permits(BEFORE as usize);
    let handled = || running.status().counts().handled();
    eventually("some are answered", SOON, || handled() == u64::from(BEFORE)).await;
    broker.kill().await;
    opened.add_permits(EVENTS as usize);
    let told = |what: &str| running.status().problems().iter().any(|p| p.contains(what));
    eventually("it is held", SOON, || told("what \"answer\" answered cannot be published")).await;
    broker.start_again().await;
    eventually("all are handled", 2 * AWAY, || handled() == u64::from(EVENTS)).await;
    eventually("it is ready again", SOON, || running.status().is_ready()).await;

    let counts = running.status().counts();
    assert_eq!((counts.retried(), counts.dead_lettered(), counts.dropped()), (0, 0, 0));
    let mut called = calls.lock().unwrap().clone();
    called.sort_unstable();
    assert_eq!(called, (0..EVENTS).collect::<Vec<_>>(), "each handler ran once");
    let reader = client("reader", &broker.address);
    let inspector = Inspector::new(&broker.address, "none");
    let deadline = Instant::now() + SOON;
    // A broker that was killed shows the end of its log only once it leads again.
    loop {
        let mut ids: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
        for record in inspector.read_all(&reader, &answers).await {
            let id = record.headers.get_str(header::ID).unwrap().to_owned();
            let answer: Answered = serde_json::from_slice(&record.payload.unwrap()).unwrap();
            ids.entry(answer.n).or_default().insert(id);
        }
        if ids.len() == EVENTS as usize {
            // One whose acknowledgement was lost may lie there twice, as itself.
            assert!(ids.values().all(|ids| ids.len() == 1), "{ids:?}");
            break;
        }
        assert!(Instant::now() < deadline, "{ids:?}");
    }
    for aside in ["retry.1s", "dlq"] {
        assert_eq!(inspector.ends(&Asked::beside(aside)).values().sum::<i64>(), 0, "{aside}");
    }
    stop(running).await;
}
