//! A stop and a hand-over in the middle of a load by key: nothing again, nothing lost, no order turned.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::super::{Consumer, ConsumerBuilder, Event, HandlerError, RunningConsumer};
use super::stage::*;
use crate::event::{Headers, header};
use crate::retry::{Backoff, RetryPolicy, UnknownType};
use crate::transport::Record;

const PARTITIONS: i32 = 3;
const EVENTS: u32 = 3_000;
/// One of them in every second event: its lane is far behind the others.
const KEYS: [&str; 8] = ["hot", "a", "hot", "b", "hot", "c", "hot", "d"];

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn event(n: u32) -> (i32, &'static str, u32) {
    (n.cast_signed() % PARTITIONS, KEYS[(n / 3) as usize % KEYS.len()], n)
}

/// What handlers did, by event.
#[derive(Clone, Default)]
struct Ran(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    failed: BTreeSet<u32>,
    done: Vec<u32>,
}

impl Ran {
    fn done(&self) -> Vec<u32> {
        self.0.lock().unwrap().done.clone()
    }

    /// Each event was done once, and those of one key in their order.
    fn check(&self) {
        let done = self.done();
        let mut sorted = done.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..EVENTS).collect::<Vec<_>>(), "each once");
        let lanes: BTreeSet<_> = (0..EVENTS).map(|n| (event(n).0, event(n).1)).collect();
        for lane in lanes {
            let of: Vec<_> = done.iter().filter(|n| (event(**n).0, event(**n).1) == lane).collect();
            assert!(of.is_sorted(), "{lane:?}: {of:?}");
        }
    }
}

/// A consumer whose events take a time of their own each; one in 50 needs a second try in place.
fn noting(ran: &Ran) -> ConsumerBuilder {
    let ran = ran.clone();
    let handler = move |Event(e): Event<Noted>| {
        let ran = ran.clone();
        async move {
            tokio::time::sleep(ms(u64::from(e.n * 37 % 11))).await;
            let mut ran = ran.0.lock().unwrap();
            if e.n % 50 == 49 && ran.failed.insert(e.n) {
                return Err(HandlerError::transient("once more"));
            }
            ran.done.push(e.n);
            Ok(())
        }
    };
    let policy = RetryPolicy::none().immediate(3).backoff(Backoff::fixed(ms(30)));
    consumer().handle_named("note", handler).retry(policy).concurrency(8)
}

async fn start(builder: ConsumerBuilder, stage: &Stage) -> RunningConsumer {
    builder.build(stage).map(Consumer::start).unwrap().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_stop_in_the_middle_of_a_load_repeats_nothing_and_loses_nothing() {
    let (stage, ran) = (Stage::new(1, 500), Ran::default());
    for (round, run) in [ms(100), ms(333), ms(777), Duration::from_secs(3_600)].iter().enumerate() {
        let running = start(noting(&ran), &stage).await;
        stage.assign(round, 0..PARTITIONS);
        if round == 0 {
            stage.put((0..EVENTS).map(event));
        }
        tokio::time::sleep(*run).await;
        let before = ran.done().len();
        let report = running.stop(Duration::from_secs(30)).await;
        assert!(report.is_clean(), "{report:?}");
        let done = ran.done().len();
        let committed: i64 = (0..PARTITIONS).map(|p| stage.committed(p)).sum();
        assert_eq!(committed, done as i64, "what is done is committed, without a gap");
        let in_the_middle = before < done && done < EVENTS as usize;
        assert!(
            round == 3 || in_the_middle,
            "{before} when it was told to stop, {done} at its end"
        );
    }
    ran.check();
}

#[tokio::test(start_paused = true)]
async fn a_hand_over_in_the_middle_of_a_load_repeats_nothing_and_loses_nothing() {
    let (stage, ran) = (Stage::new(1, 500), Ran::default());
    let running = start(noting(&ran).members(2), &stage).await;
    stage.assign(0, 0..PARTITIONS);
    stage.put((0..EVENTS).map(event));
    for (from, to) in [(0, 1), (1, 0), (0, 1), (1, 0)] {
        tokio::time::sleep(ms(250)).await;
        assert!(ran.done().len() < EVENTS as usize, "it was in the middle");
        stage.revoke(from, [1, 2]).await;
        stage.assign(to, [1, 2]);
    }
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    ran.check();
    assert!(running.stop(ms(100)).await.is_clean());
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_hangs_or_waits_for_the_world_does_not_prolong_a_stop() {
    for (hangs, took) in [(true, ms(700)), (false, ms(10))] {
        let (stage, seen) = (Stage::new(1, 500), Arc::new(Mutex::new(Vec::new())));
        let note = seen.clone();
        let handler = move |Event(e): Event<Noted>| {
            let note = note.clone();
            async move {
                note.lock().unwrap().push(e.n);
                if e.n == 0 && hangs {
                    std::future::pending::<()>().await;
                }
                tokio::time::sleep(ms(1)).await;
                match e.n {
                    0 => Err(HandlerError::outage("the world is down")),
                    _ => Ok(()),
                }
            }
        };
        let running = start(consumer().handle_named("note", handler), &stage).await;
        stage.assign(0, [0]);
        // Event 2 waits behind event 0, and 3 has begun.
        let keys = ["first", "other", "first", "third"];
        stage.put((0..).zip(keys).map(|(n, key)| (0, key, n)));
        tokio::time::sleep(ms(50)).await;
        let began = Instant::now();
        let report = running.stop(ms(700)).await;
        assert!(began.elapsed() <= took, "{:?}", began.elapsed());
        assert_eq!(report.unfinished, ["noted/0/0"], "{hangs}");
        assert_eq!(*seen.lock().unwrap(), [0, 1, 3], "event 2 is not done before event 0");
        assert_eq!(stage.committed(0), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_cannot_go_on_ends_without_waiting_for_what_it_cannot_do() {
    let (stage, ran) = (Stage::new(1, 500), Ran::default());
    let mut running = start(noting(&ran).unknown(UnknownType::Fail), &stage).await;
    stage.assign(0, [0]);
    tokio::time::sleep(ms(10)).await;
    let mut headers = Headers::default();
    for (name, value) in [
        (header::SPEC_VERSION, "1.0"),
        (header::ID, "1"),
        (header::SOURCE, "stranger"),
        (header::TYPE, "nobody.knows"),
    ] {
        headers.push(name, value);
    }
    let payload = Some(bytes::Bytes::from_static(b"{}"));
    stage.append(&Record {
        topic: MAIN,
        partition: Some(0),
        key: Some(bytes::Bytes::from_static(b"a")),
        payload,
        headers,
        timestamp: None,
    });
    // Those before the unknown one, and behind it: of its key, and of others that begin.
    stage.put([(0, "a", 1), (0, "b", 2), (0, "c", 3)]);
    let began = Instant::now();
    running.ended().await;
    assert_eq!(began.elapsed(), Duration::ZERO);
    let problems = running.status().problems().join("; ");
    assert!(problems.contains("nobody.knows"), "{problems}");
    let report = running.stop(Duration::from_secs(30)).await;
    assert!(began.elapsed() < ms(100), "{:?}", began.elapsed());
    assert_eq!((report.unfinished.len(), report.failures.len()), (0, 1), "{report:?}");
    assert_eq!(ran.done(), [3, 2], "what had begun was finished; of the key nothing");
    assert_eq!(stage.committed(0), 0);
}
