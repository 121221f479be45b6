//! Row 6: kill -9 of a consumer whose events finish out of order, again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tidings::consumer::*;
use tidings::publisher::Publisher;
use tidings::transport::kafka::Kafka;

use crate::child::{Subject, new_log};
use crate::events::*;
use crate::inspect::Inspector;
use crate::stage::*;
use crate::support::*;

event!(Counted, "kills.counted");

const EVENTS: u32 = 3_000;
const PARTITIONS: i32 = 3;
/// Events of a partition that may be in memory before nothing more is received.
const PREFETCH: u32 = 100;
/// Those and what may be on its way to there.
const IN_MEMORY: u32 = PREFETCH * 3 / 2;

/// Handles events until it is killed; each in a time of its own, so that they finish out of order.
pub async fn subject(broker: &str, log: PathBuf) {
    let file = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
    let file = Arc::new(file);
    // A fixed name, so that the next one need not wait until this one is found dead.
    let config = config("kills", broker)
        .static_member_id(named("member"))
        .prefetch(PREFETCH)
        .commit_every(20_u32)
        .commit_interval(Duration::from_millis(200));
    let _running = consumer("kills", PARTITIONS)
        .handle_named("slow", move |Event(e): Event<Counted>, delivery: Delivery| {
            let file = file.clone();
            async move {
                let ran = Ran::new(e.n, &delivery);
                let says = |what| format!("{what} {} {} {}\n", ran.n, ran.partition, ran.offset);
                (&*file).write_all(says("begin").as_bytes())?;
                tokio::time::sleep(Duration::from_millis(u64::from(e.n * 37 % 61))).await;
                (&*file).write_all(says("done").as_bytes())?;
                Ok::<(), HandlerError>(())
            }
        })
        .concurrency(16)
        .start_on(&Kafka::connect(config).unwrap())
        .await;
    std::future::pending::<()>().await;
}

/// (partition, offset) of the lines that say `what`.
fn said(lines: &[String], what: &str) -> Vec<(i32, i64)> {
    let words = lines.iter().map(|line| line.split(' ').collect::<Vec<_>>());
    words
        .filter(|words| words[0] == what)
        .map(|words| (words[2].parse().unwrap(), words[3].parse().unwrap()))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_killed_again_and_again_loses_no_effect_and_repeats_only_what_was_in_flight() {
    let Some(broker) = kafka_address() else { return };
    let kafka = client("kills", &broker);
    let (main, log) = (topic(Counted::TOPIC), new_log());
    create_topics(&kafka, &[(main.as_str(), PARTITIONS, false)]).await;
    let events = (0..EVENTS).map(|n| Counted::new(format!("k{n}"), n));
    Publisher::new(&kafka).publish_all(events).await.unwrap();
    let offsets = Inspector::new(&broker, &named("kills"));
    let all: BTreeSet<(i32, i64)> = (0..PARTITIONS)
        .flat_map(|p| {
            let lies = (0..EVENTS)
                .filter(move |n| partition_of(format!("k{n}").as_bytes(), PARTITIONS) == p);
            (0..).zip(lies).map(move |(offset, _)| (p, offset))
        })
        .collect();

    let mut committed: BTreeMap<i32, i64> = BTreeMap::new();
    let (mut before, mut repeated) = (0, Vec::new());
    for round in 1..=5 {
        let subject = Subject::start("consume", &broker, &log);
        let whole = || {
            let done: BTreeSet<_> = said(&subject.lines(), "done").into_iter().collect();
            done.len()
        };
        let enough = if round < 5 { whole() + 400 } else { all.len() };
        eventually("it handles some more", SOON, || whole() >= enough).await;
        if round == 5 {
            let end = |p| offsets.committed(&main, p).unwrap_or(0);
            let ends = || (0..PARTITIONS).map(end).sum::<i64>();
            eventually("all is committed", SOON, || i64::from(EVENTS) == ends()).await;
        }
        let lines = {
            let log = subject.log.clone();
            subject.kill();
            std::fs::read_to_string(log).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
        };

        // What this one began lay at or behind what was committed before it.
        let began = said(&lines[before..], "begin");
        for (partition, offset) in &began {
            let from = committed.get(partition).copied().unwrap_or(0);
            assert!(*offset >= from, "{partition}@{offset} was committed before");
        }
        let done_before: BTreeSet<_> = said(&lines[..before], "done").into_iter().collect();
        let again = began.iter().filter(|at| done_before.contains(at)).count();
        repeated.push(again);
        assert!(again <= IN_MEMORY as usize * PARTITIONS as usize, "{again} ran again");
        before = lines.len();

        // Nothing that is not done lies before what is committed now.
        let done: BTreeSet<_> = said(&lines, "done").into_iter().collect();
        for partition in 0..PARTITIONS {
            let now = offsets.committed(&main, partition).unwrap_or(0);
            let undone = (0..now).find(|offset| !done.contains(&(partition, *offset)));
            assert_eq!(undone, None, "partition {partition} is committed to {now}");
            committed.insert(partition, now);
        }
        if round == 5 {
            assert_eq!(done, all, "every effect is there");
        }
    }
    println!("{EVENTS} events, 4 kills: repeated after each {:?}", &repeated[1..]);
    std::fs::remove_file(log).unwrap();
}
