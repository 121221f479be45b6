//! kill -9 of a worker, again and again: every input has its output, in the order of its key.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tidings::consumer::{HandlerError, Value};
use tidings::producer::{Message, Producer};
use tidings::transport::kafka::Kafka;
use tidings::transport::{Position, ReadEvent, Transport, positions};
use tidings::worker::{Backoff, Worker};

use crate::child::{Subject, new_log};
use crate::events::{named, topic};
use crate::stage::create;
use crate::support::*;

const INPUTS: u32 = 100_000;
const KEYS: u32 = 1_000;
const KILLS: u32 = 4;
const PARTITIONS: i32 = 6;
/// Inputs of a partition that may be in memory before nothing more is read.
const PREFETCH: u32 = 500;
/// Those and what may be on its way to there.
const IN_MEMORY: u32 = PREFETCH * 3 / 2;

#[derive(Serialize, Deserialize)]
struct Step {
    key: u32,
    /// Its number among those of its key, from 0 up.
    n: u32,
}

/// Copies steps until it is killed.
pub async fn subject(broker: &str, _: PathBuf) {
    // A fixed name, so that the next one need not wait until this one is found dead.
    let config = config("workers", broker)
        .static_member_id(named("worker"))
        .prefetch(PREFETCH)
        .commit_interval(Duration::from_millis(200));
    let _running = Worker::builder(named("copies"))
        .input_named(topic("workers.in"))
        .output_named(topic("workers.out"))
        .process(|step: Value<Step>| async { Ok::<_, HandlerError>(step) })
        .concurrency(256)
        .max_retries(3)
        .backoff(Backoff::exponential(Duration::from_millis(10)))
        .topics(create(PARTITIONS))
        .build(&Kafka::connect(config).unwrap())
        .unwrap()
        .start()
        .await
        .unwrap();
    std::future::pending::<()>().await;
}

/// What came out of each key, in order.
#[derive(Default)]
struct Out {
    steps: BTreeMap<u32, Vec<u32>>,
    /// Inputs that have an output.
    done: u32,
    repeated: u32,
}

impl Out {
    fn add(&mut self, Step { key, n }: Step) {
        let steps = self.steps.entry(key).or_default();
        match steps.contains(&n) {
            true => self.repeated += 1,
            false => self.done += 1,
        }
        steps.push(n);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_killed_again_and_again_leaves_every_input_with_its_output_in_the_order_of_its_key()
 {
    let Some(broker) = kafka_address() else { return };
    let kafka = client("workers", &broker);
    let (input, output) = (topic("workers.in"), topic("workers.out"));
    let topics = [&input, &output].map(|topic| (topic.as_str(), PARTITIONS, false));
    create_topics(&kafka, &topics).await;
    let producer = Producer::new(&kafka);
    for first in (0..INPUTS).step_by(10_000) {
        let messages = (first..first + 10_000).map(|at| {
            let (key, n) = (at % KEYS, at / KEYS);
            Message::new(input.clone(), &Step { key, n }).unwrap().key(format!("k{key}"))
        });
        producer.send_all(messages.collect()).await.unwrap();
    }

    let from = positions(&*kafka.admin(), &output, Position::Earliest, SOON).await.unwrap();
    let mut reader = kafka.read(from.unwrap()).unwrap();
    let (mut out, log, began) = (Out::default(), new_log(), Instant::now());
    for run in 0..=KILLS {
        let subject = Subject::start("work", &broker, &log);
        let enough = INPUTS / (KILLS + 1) * (run + 1);
        let enough = if run == KILLS { INPUTS } else { enough };
        while out.done < enough {
            let event = tokio::time::timeout(SOON, reader.next()).await.expect("it goes on");
            let ReadEvent::Records(batch) = event.unwrap().unwrap() else { continue };
            for record in batch.records {
                let step = serde_json::from_slice(record.payload.as_deref().unwrap()).unwrap();
                out.add(step);
            }
        }
        subject.kill();
    }

    assert_eq!(out.steps.len(), KEYS as usize);
    for (key, steps) in &out.steps {
        let (mut next, mut restarts) = (0, 0);
        for (at, n) in steps.iter().enumerate() {
            assert!(*n <= next, "key {key}: {n} came before {next}");
            if at > 0 && *n != steps[at - 1] + 1 {
                restarts += 1;
            }
            next = next.max(n + 1);
        }
        assert_eq!(next, INPUTS / KEYS, "key {key}: every input has its output");
        assert!(restarts <= KILLS, "key {key}: it goes back by a kill only: {steps:?}");
    }
    let most = KILLS * IN_MEMORY * PARTITIONS.unsigned_abs();
    assert!(out.repeated <= most, "{} came twice", out.repeated);
    let (repeated, took) = (out.repeated, began.elapsed());
    println!("{INPUTS} inputs, {KILLS} kills: {repeated} came twice, {took:.1?}");
}
