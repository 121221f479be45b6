//! The same inputs and the same seed make the same run.

use std::time::Duration;

use super::super::{Attempt, Event, HandlerError, Order};
use super::stage::*;
use crate::retry::{Backoff, RetryPolicy};

const PARTITIONS: i32 = 16;
const KEYS: [&str; 12] = ["", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"];

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A run with failures, retries, pauses, revokes and a stop; answers everything that was noted.
fn run(seed: u64, order: Order) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let stage = Stage::new(seed, 40);
        let noted = stage.clone();
        let handler = move |Event(e): Event<Noted>, Attempt(attempt): Attempt| {
            let stage = noted.clone();
            async move {
                stage.note(format_args!("begins {} {} for the {attempt}.", e.key, e.n));
                tokio::time::sleep(ms(u64::from(e.n * 37 % 61))).await;
                stage.note(format_args!("ends {}", e.n));
                match (e.n % 7, attempt) {
                    (3, 1) => Err(HandlerError::transient("not yet")),
                    (5, _) if e.n % 3 == 0 => Err(HandlerError::permanent("never")),
                    _ => Ok(()),
                }
            }
        };
        let policy = RetryPolicy::tiers([Duration::from_secs(1)])
            .immediate(2)
            .backoff(Backoff::fixed(ms(20)).jitter(true));
        let running = consumer()
            .handle_named("note", handler)
            .retry(policy)
            .order(order)
            .concurrency(16)
            .members(2)
            .build(&stage)
            .unwrap()
            .start()
            .await
            .unwrap();
        stage.assign(0, 0..PARTITIONS / 2);
        stage.assign(1, PARTITIONS / 2..PARTITIONS);
        for round in 0..4 {
            let event = |n: u32| (n.cast_signed() % PARTITIONS, KEYS[n as usize * 7 % 12], n);
            stage.put((round * 400..(round + 1) * 400).map(event));
            tokio::time::sleep(ms(300)).await;
            match round {
                1 => running.status().pause(MAIN),
                2 => {
                    running.status().resume(&MAIN);
                    stage.revoke(0, [2, 5, 3]).await;
                    stage.assign(1, [5, 2, 3]);
                }
                _ => {}
            }
        }
        tokio::time::sleep(ms(900)).await;
        stage.note(format_args!("{:?}", running.status().problems()));
        let report = running.stop(ms(200)).await;
        stage.note(format_args!("{} were left", report.unfinished.len()));
        stage.said()
    })
}

#[test]
fn a_run_is_the_same_each_time_and_another_seed_makes_another_one() {
    for order in [Order::ByKey, Order::ByPartition] {
        let first = run(7, order);
        assert!(first.len() > 2_000, "{}", first.len());
        for _ in 0..3 {
            let again = run(7, order);
            let differs = first.iter().zip(&again).position(|(a, b)| a != b);
            let at = differs.unwrap_or(first.len().min(again.len()));
            assert_eq!(first.get(at), again.get(at), "line {at} of {}", first.len());
        }
        assert_ne!(first, run(8, order), "its jitter is drawn");
    }
}

#[test]
fn a_consumer_that_is_dropped_does_nothing_more() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let stage = Stage::new(1, 100);
        let noted = stage.clone();
        let handler = move |Event(e): Event<Noted>| {
            let stage = noted.clone();
            async move {
                stage.note(format_args!("begins {}", e.n));
                // Ready again each time, so that its task waits in the runtime's queue.
                for _ in 0..100 {
                    tokio::task::yield_now().await;
                    stage.note(format_args!("goes on {}", e.n));
                }
                Err::<(), _>(HandlerError::transient("so that a record follows"))
            }
        };
        let running = consumer()
            .handle_named("note", handler)
            .concurrency(4)
            .build(&stage)
            .unwrap()
            .start()
            .await
            .unwrap();
        stage.assign(0, [0]);
        stage.put((0..20).map(|n| (0, KEYS[n as usize % 12], n)));
        while !stage.said().iter().any(|line| line.ends_with("goes on 1")) {
            tokio::task::yield_now().await;
        }
        let before = stage.said();
        drop(running);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(stage.said(), before);
    });
}
