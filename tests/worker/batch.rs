//! Inputs worked on together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tidings::Topic;
use tidings::consumer::*;
use tidings::event::{TopicName, header};
use tidings::producer::{Message, Producer};
use tidings::retry::Backoff;
use tidings::topic::{TopicKind, TopicSpec};
use tidings::transport::memory::{Memory, MemoryBroker};
use tidings::transport::{TopicNeed, Transport};
use tidings::worker::{Item, ProcessBatch, RunningWorker, Worker};
use tokio::time::Instant;

use crate::stage::*;

type Batch = Vec<Item<Value<Visit>>>;
type Outcomes<O = ()> = Vec<Result<O, HandlerError>>;

fn numbers_of(batch: &Batch) -> Vec<u32> {
    batch.iter().map(|item| item.input.0.n).collect()
}

#[tokio::test(start_paused = true)]
async fn batches_are_full_in_the_partitions_order_and_one_at_a_time() {
    let (broker, client) = stage().await;
    let (seen, at_once) = (Seen::default(), Arc::new(AtomicUsize::new(0)));
    let noted = seen.clone();
    let work = move |batch: Batch| {
        noted.add(numbers_of(&batch));
        let at_once = at_once.clone();
        async move {
            assert_eq!(at_once.fetch_add(1, Ordering::SeqCst), 0, "one after another");
            tokio::time::sleep(ms(10)).await;
            at_once.fetch_sub(1, Ordering::SeqCst);
            batch.iter().map(|_| Ok(())).collect::<Outcomes>()
        }
    };
    let builder = Worker::builder("batches").input::<Visits>().process_batch(10, secs(1), work);
    let running = start(builder, &client).await;
    send(&client, numbered("home", 0..100)).await;
    quiet(&broker).await;
    let all: Vec<Vec<u32>> = (0..10).map(|n| (n * 10..n * 10 + 10).collect()).collect();
    assert_eq!(seen.all(), all);
    assert_eq!(running.status().done(), 100);
    clean(&running.stop(secs(5)).await);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_does_not_fill_begins_when_its_first_item_has_waited() {
    let (broker, client) = stage().await;
    let seen = Seen::default();
    let (noted, began) = (seen.clone(), Instant::now());
    let work = move |batch: Batch| {
        noted.add((numbers_of(&batch), began.elapsed().as_secs()));
        async move { batch.iter().map(|_| Ok(())).collect::<Outcomes>() }
    };
    let builder = Worker::builder("batches").input::<Visits>().process_batch(10, secs(3), work);
    let running = start(builder, &client).await;
    send(&client, numbered("home", 0..2)).await;
    tokio::time::sleep(secs(2)).await;
    send(&client, numbered("home", 2..4)).await;
    quiet(&broker).await;
    assert_eq!(seen.all(), [(vec![0, 1, 2, 3], 3)]);
    clean(&running.stop(secs(5)).await);
}

#[tokio::test(start_paused = true)]
async fn an_item_that_failed_is_tried_again_without_the_others() {
    let (broker, client) = stage().await;
    let seen = Seen::default();
    let noted = seen.clone();
    let work = move |batch: Batch| {
        noted.add(numbers_of(&batch));
        let first = noted.all().len() == 1;
        let outcome = move |item: Item<Value<Visit>>| match item.input.0.n {
            1 if first => Err(HandlerError::transient("not yet")),
            2 => Err(HandlerError::permanent("never")),
            n => Ok(Counted { n }),
        };
        async move { batch.into_iter().map(outcome).collect::<Outcomes<_>>() }
    };
    let builder = Worker::builder("batches")
        .input::<Visits>()
        .output::<Reports>()
        .process_batch(4, secs(1), work)
        .max_retries(2)
        .backoff(Backoff::fixed(ms(100)));
    let running = start(builder, &client).await;
    send(&client, numbered("home", 0..4)).await;
    quiet(&broker).await;
    assert_eq!(seen.all(), [vec![0, 1, 2, 3], vec![1]]);
    assert_eq!((running.status().done(), running.status().failed()), (3, 1));
    assert_eq!(numbers(&broker.records(&Reports::NAME)), [0, 3, 1]);
    assert_eq!(numbers(&broker.records(&TopicName::from_static("visits.dlq"))), [2]);
    clean(&running.stop(secs(5)).await);
}

#[tokio::test(start_paused = true)]
async fn a_function_that_answers_another_number_of_outcomes_loses_nothing() {
    for answers in [0, 2, 4] {
        let (broker, client) = stage().await;
        let work = move |_: Batch| async move {
            (0..answers).map(|n| Ok(Counted { n })).collect::<Outcomes<_>>()
        };
        let builder = Worker::builder("batches")
            .input::<Visits>()
            .output::<Reports>()
            .process_batch(3, ms(10), work)
            .max_retries(0)
            .dead_letters(false);
        let running = start(builder, &client).await;
        send(&client, numbered("home", 0..3)).await;
        eventually("it says so", || !running.status().is_ready()).await;
        let problems = running.status().problems().join("; ");
        assert!(problems.contains(&format!("{answers} outcomes for 3 items")), "{problems}");
        tokio::time::sleep(secs(60)).await;
        assert_eq!((running.status().done(), running.status().failed()), (0, 0));
        assert_eq!(broker.committed("batches", &first(Visits::NAME)), None);
        assert!(broker.records(&Reports::NAME).is_empty());
        drop(running);
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_or_a_panic_of_the_function_is_that_of_each_item() {
    let (broker, client) = stage().await;
    let seen = Seen::default();
    let noted = seen.clone();
    let work = move |batch: Batch| {
        let run = noted.all().len();
        noted.add(numbers_of(&batch));
        async move {
            match run {
                0 => Err(HandlerError::transient("the database did not answer")),
                1 => panic!("a bug"),
                2 => std::future::pending().await,
                _ => Ok(batch.iter().map(|_| Ok(())).collect::<Outcomes>()),
            }
        }
    };
    let builder = Worker::builder("batches")
        .input::<Visits>()
        .process_batch(3, ms(10), work)
        .timeout(secs(2))
        .max_retries(3)
        .backoff(Backoff::fixed(ms(100)));
    let running = start(builder, &client).await;
    send(&client, numbered("home", 0..3)).await;
    quiet(&broker).await;
    assert_eq!(seen.all(), vec![vec![0, 1, 2]; 4]);
    assert_eq!((running.status().done(), running.status().failed()), (3, 0));
    clean(&running.stop(secs(5)).await);
}

#[tokio::test(start_paused = true)]
async fn outputs_of_a_batch_go_out_in_order_each_caused_by_its_own_input() {
    let (broker, client) = stage().await;
    let work = |batch: Batch| async move {
        let copies = |item: Item<Value<Visit>>| {
            let visit = item.input.0;
            Ok(vec![Value(visit.clone()), Value(visit)])
        };
        batch.into_iter().map(copies).collect::<Outcomes<_>>()
    };
    let builder = Worker::builder("batches").input::<Visits>().output::<Reports>().process_batch(
        5,
        secs(1),
        work,
    );
    let running = start(builder, &client).await;
    let pages = ["a", "b", "c", "d", "e"];
    let visits = pages.map(|page| Message::on::<Visits>(&visit(page, 1)).unwrap().key(page));
    let ids: Vec<_> = visits.iter().map(|message| message.message_id().to_string()).collect();
    Producer::new(&client).send_all(visits.into()).await.unwrap();
    quiet(&broker).await;
    let out = broker.records(&Reports::NAME);
    assert_eq!(out.len(), 10);
    for (at, record) in out.iter().enumerate() {
        assert_eq!(record.key.as_deref(), Some(pages[at / 2].as_bytes()));
        let cause = record.headers.get_str(header::PLAIN_CAUSATION_ID);
        assert_eq!(cause, Some(&*ids[at / 2]));
    }
    clean(&running.stop(secs(5)).await);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_no_item_of_any_batch() {
    let (broker, client) = stage().await;
    let seen = Seen::default();
    let noted = seen.clone();
    let work = move |batch: Batch| {
        noted.add(numbers_of(&batch));
        async move { batch.iter().map(|_| Ok(())).collect::<Outcomes>() }
    };
    let builder = Worker::builder("batches").input::<Visits>().process_batch(2, secs(1), work);
    let running = start(builder, &client).await;
    send(&client, [visit("home", 0)]).await;
    Producer::new(&client).send(Message::bytes(Visits::NAME, &b"{"[..])).await.unwrap();
    send(&client, [visit("home", 1)]).await;
    quiet(&broker).await;
    assert_eq!(seen.all(), [[0, 1]]);
    assert_eq!(broker.records(&TopicName::from_static("visits.quarantine")).len(), 1);
    clean(&running.stop(secs(5)).await);
}

#[tokio::test(start_paused = true)]
async fn batches_of_partitions_run_side_by_side_up_to_the_concurrency() {
    for concurrency in [1, 2, 8] {
        let (broker, client) = stage().await;
        let many = TopicSpec::new(TopicName::from_static("many"), TopicKind::Event).partitions(4);
        let (running_now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let top = most.clone();
        let work = move |batch: Batch| {
            let (now, top) = (running_now.clone(), top.clone());
            async move {
                top.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(ms(50)).await;
                now.fetch_sub(1, Ordering::SeqCst);
                batch.iter().map(|_| Ok(())).collect::<Outcomes>()
            }
        };
        let builder = Worker::builder("batches")
            .input_named(many)
            .process_batch(2, ms(10), work)
            .concurrency(concurrency);
        let running = start(builder, &client).await;
        let messages = (0..40).map(|n| {
            let to = i32::try_from(n % 4).unwrap();
            let name = TopicName::from_static("many");
            Message::new(name, &visit("home", n)).unwrap().partition(to)
        });
        Producer::new(&client).send_all(messages.collect()).await.unwrap();
        quiet(&broker).await;
        assert_eq!(most.load(Ordering::SeqCst), concurrency.min(4));
        assert_eq!(running.status().done(), 40);
        clean(&running.stop(secs(5)).await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_finishes_what_runs_and_what_gathers_and_leaves_the_rest() {
    let (broker, client) = stage().await;
    let seen = Seen::default();
    let noted = seen.clone();
    let work = move |batch: Batch| {
        noted.add(numbers_of(&batch));
        async move {
            tokio::time::sleep(secs(1)).await;
            batch.iter().map(|_| Ok(())).collect::<Outcomes>()
        }
    };
    let builder = Worker::builder("batches").input::<Visits>().process_batch(5, ms(500), work);
    let running = start(builder, &client).await;
    send(&client, numbered("home", 0..100)).await;
    eventually("the first batch runs", || !seen.all().is_empty()).await;
    clean(&running.stop(secs(10)).await);
    let done: Vec<_> = seen.all().concat();
    assert_eq!(done, (0..10).collect::<Vec<_>>());
    assert_eq!(broker.committed("batches", &first(Visits::NAME)), Some(10));
}

/// A worker whose batches fill for a minute, on a topic of several partitions.
async fn slow_to_fill(client: &Memory, seen: &Seen<usize>) -> RunningWorker {
    let noted = seen.clone();
    let work = move |batch: Batch| {
        noted.add(batch.len());
        async move { batch.iter().map(|_| Ok(())).collect::<Outcomes>() }
    };
    let many = TopicSpec::new(TopicName::from_static("many"), TopicKind::Event).partitions(4);
    let builder = Worker::builder("batches").input_named(many);
    start(builder.process_batch(100, secs(60), work), client).await
}

async fn send_many(client: &Memory, count: u32) {
    let messages = (0..count).map(|n| {
        let page = format!("p{n}");
        Message::new(TopicName::from_static("many"), &visit(&page, n)).unwrap().key(page)
    });
    Producer::new(client).send_all(messages.collect()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_only_gathers_does_not_hold_up_a_rebalance() {
    let (broker, client) = stage().await;
    let seen = Seen::default();
    let first = slow_to_fill(&client, &seen).await;
    send_many(&client, 20).await;
    tokio::time::sleep(secs(1)).await;
    assert!(seen.all().is_empty(), "they gather");
    let began = Instant::now();
    let other = broker.client("other").unwrap();
    let second = slow_to_fill(&other, &seen).await;
    eventually("the second has partitions", || second.status().consumer().partitions() > 0).await;
    assert!(began.elapsed() < secs(5), "{:?}", began.elapsed());
    clean(&first.stop(secs(5)).await);
    clean(&second.stop(secs(5)).await);
    assert_eq!(seen.all().iter().sum::<usize>(), 20, "each was worked on once");
}

#[tokio::test(start_paused = true)]
async fn a_stop_begins_what_gathers_at_once() {
    let (broker, client) = stage().await;
    let seen = Seen::default();
    let running = slow_to_fill(&client, &seen).await;
    send_many(&client, 20).await;
    tokio::time::sleep(secs(1)).await;
    let began = Instant::now();
    clean(&running.stop(secs(20)).await);
    assert!(began.elapsed() < secs(5), "{:?}", began.elapsed());
    assert_eq!(seen.all().iter().sum::<usize>(), 20);
    assert!(broker.backlog().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_a_worker_that_is_dropped_goes_no_further() {
    let (_broker, client) = stage().await;
    let (begun, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (begins, ends) = (begun.clone(), ended.clone());
    let work = move |batch: Batch| {
        let (begins, ends) = (begins.clone(), ends.clone());
        async move {
            begins.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(secs(1)).await;
            ends.fetch_add(1, Ordering::SeqCst);
            batch.iter().map(|_| Ok(())).collect::<Outcomes>()
        }
    };
    let builder = Worker::builder("batches").input::<Visits>().process_batch(1, secs(1), work);
    let running = start(builder, &client).await;
    send(&client, numbered("home", 0..3)).await;
    eventually("it has begun", || begun.load(Ordering::SeqCst) == 1).await;
    drop(running);
    tokio::time::sleep(secs(10)).await;
    assert_eq!((begun.load(Ordering::SeqCst), ended.load(Ordering::SeqCst)), (1, 0));
}

#[tokio::test]
async fn a_batch_that_can_never_fill_is_refused() {
    let (_, client) = stage().await;
    let prefetch = client.consumer_defaults().prefetch;
    let work = |batch: Batch| async move { batch.iter().map(|_| Ok(())).collect::<Outcomes>() };
    let need: TopicNeed = Visits::spec().into();
    for (size, wait, why) in [
        (0, secs(1), "1 item or more"),
        (prefetch + 1, secs(1), "`prefetch`"),
        (1, secs(0), "waits no time"),
    ] {
        let builder = Worker::builder("batches").input_named(need.clone());
        let Err(error) = builder.process_batch(size, wait, work).build(&client) else {
            panic!("it was built")
        };
        assert!(error.to_string().contains(why), "{error}");
    }
}

/// Work on batches that is a type.
struct Counting {
    heard: Seen<String>,
}

impl ProcessBatch for Counting {
    type Input = Value<Visit>;
    type Output = Counted;

    async fn process_batch(&self, items: Batch) -> Outcomes<Counted> {
        let outcome = |item: Item<Value<Visit>>| match item.input.0.n {
            0 => Err(HandlerError::permanent("nothing to count")),
            n => Ok(Counted { n }),
        };
        items.into_iter().map(outcome).collect()
    }

    async fn on_error(&self, error: &HandlerError, delivery: &Delivery) {
        self.heard.add(format!("{} {}", delivery.record().offset, error.message()));
    }

    async fn on_success(&self, delivery: &Delivery) {
        self.heard.add(format!("{} done", delivery.record().offset));
    }
}

#[tokio::test(start_paused = true)]
async fn a_type_that_works_on_batches_hears_of_each_item() {
    let (broker, client) = stage().await;
    let heard = Seen::default();
    let counting = Counting { heard: heard.clone() };
    let builder = Worker::builder("batches").input::<Visits>().output::<Reports>();
    let running = start(builder.process_batch(3, secs(1), counting), &client).await;
    send(&client, numbered("home", [1, 0, 2])).await;
    quiet(&broker).await;
    assert_eq!(heard.all(), ["0 done", "1 nothing to count", "2 done"]);
    assert_eq!(numbers(&broker.records(&Reports::NAME)), [1, 2]);
    clean(&running.stop(secs(5)).await);
}

#[tokio::test(start_paused = true)]
async fn an_output_that_can_never_be_published_takes_no_other_item_along() {
    let (broker, client) = stage().await;
    let work = |batch: Batch| async move {
        let report = |item: Item<Value<Visit>>| {
            let Visit { page, n } = item.input.0;
            // An event without a key that says that it has one cannot be published.
            Ok(Reported { title: if n == 1 { String::new() } else { page }, n })
        };
        batch.into_iter().map(report).collect::<Outcomes<_>>()
    };
    let builder = Worker::builder("batches").input::<Visits>().output::<Reports>().process_batch(
        3,
        secs(1),
        work,
    );
    let running = start(builder, &client).await;
    send(&client, numbered("home", 0..3)).await;
    quiet(&broker).await;
    assert_eq!((running.status().done(), running.status().failed()), (2, 1));
    assert_eq!(numbers(&broker.records(&Reports::NAME)), [0, 2]);
    clean(&running.stop(secs(5)).await);
}

/// A worker that reports its visits in batches of three, on a broker whose topic of reports is gone; and what the work
/// was called with, and what heard of a success.
async fn held() -> (MemoryBroker, Memory, RunningWorker, Seen<Vec<u32>>, Seen<u32>) {
    let (broker, client) = strict();
    let (called, done) = (Seen::default(), Seen::default());
    let running = start_reports(&client, &called, &done).await;
    broker.delete_topic(&Reports::NAME);
    send(&client, numbered("home", 0..7)).await;
    eventually("it says so", || !running.status().is_ready()).await;
    tokio::time::sleep(secs(100)).await;
    let problems = running.status().problems().join("; ");
    assert!(problems.contains("what \"batches\" answered cannot be published"), "{problems}");
    assert_eq!((called.all(), done.all()), (vec![vec![0, 1, 2]], vec![]), "the next one waits");
    assert_eq!(broker.committed("batches", &first(Visits::NAME)), None);
    (broker, client, running, called, done)
}

async fn start_reports(
    client: &Memory,
    called: &Seen<Vec<u32>>,
    done: &Seen<u32>,
) -> RunningWorker {
    let (calls, successes) = (called.clone(), done.clone());
    let work = move |batch: Batch| {
        calls.add(numbers_of(&batch));
        let report = |item: Item<Value<Visit>>| {
            let Visit { page, n } = item.input.0;
            Ok(Reported { title: if n == 1 { "x".repeat(700) } else { page }, n })
        };
        async move { batch.into_iter().map(report).collect::<Outcomes<_>>() }
    };
    let builder = Worker::builder("batches")
        .input::<Visits>()
        .output::<Reports>()
        .process_batch(3, secs(1), work)
        .max_retries(0)
        .on_success(move |delivery| {
            successes.add(u32::try_from(delivery.record().offset).unwrap());
            async {}
        });
    start(builder, client).await
}

#[tokio::test(start_paused = true)]
async fn a_batch_whose_outputs_wait_is_not_worked_on_again_and_no_later_one_overtakes_it() {
    let (broker, _client, running, called, done) = held().await;
    broker.create_topic(Reports::NAME, one_partition());
    quiet(&broker).await;
    assert_eq!(called.all(), [vec![0, 1, 2], vec![3, 4, 5], vec![6]]);
    assert_eq!(numbers(&broker.records(&Reports::NAME)), (0..7).collect::<Vec<_>>());
    let mut done = done.all();
    done.sort_unstable();
    assert_eq!(done, (0..7).collect::<Vec<_>>());
    assert!(running.status().is_ready());
    clean(&running.stop(secs(5)).await);
}

#[tokio::test(start_paused = true)]
async fn of_a_batch_whose_outputs_wait_the_one_that_can_never_be_published_fails_alone() {
    let (broker, _client, running, called, _) = held().await;
    let mut small = one_partition();
    small.max_record = 600;
    broker.create_topic(Reports::NAME, small);
    quiet(&broker).await;
    assert_eq!(called.all(), [vec![0, 1, 2], vec![3, 4, 5], vec![6]]);
    assert_eq!(numbers(&broker.records(&Reports::NAME)), [0, 2, 3, 4, 5, 6]);
    assert_eq!(numbers(&broker.records(&TopicName::from_static("visits.dlq"))), [1]);
    assert_eq!((running.status().done(), running.status().failed()), (6, 1));
    clean(&running.stop(secs(5)).await);
}

#[tokio::test(start_paused = true)]
async fn a_stop_while_the_outputs_of_a_batch_wait_leaves_it_and_what_gathers_behind_it() {
    let (broker, client, running, called, done) = held().await;
    let began = Instant::now();
    let report = running.stop(secs(20)).await;
    assert!(began.elapsed() < secs(5), "{:?}", began.elapsed());
    assert!(report.unfinished.len() >= 3, "{report:?}");
    assert_eq!(called.all(), [[0, 1, 2]], "what gathered did not begin");
    assert_eq!(broker.committed("batches", &first(Visits::NAME)), None);
    broker.create_topic(Reports::NAME, one_partition());
    let running = start_reports(&client, &called, &done).await;
    quiet(&broker).await;
    assert_eq!(numbers(&broker.records(&Reports::NAME)), (0..7).collect::<Vec<_>>());
    clean(&running.stop(secs(5)).await);
}
