//! Events of a key one after another, keys side by side.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidings::consumer::*;
use tidings::publisher::Publisher;

use crate::events::{Contract, Note, contract, note};
use crate::stage::*;
use crate::support::{SOON, eventually};

/// What ran: in which order, and how much of it at once.
#[derive(Default)]
struct Runs {
    order: Vec<(String, u32)>,
    running: HashMap<String, usize>,
    at_once: usize,
    /// The most that ran at once of one lane.
    in_a_lane: usize,
}

/// A handler that takes a while, another while for each event; lanes are told apart by `lane`.
fn busy<C: Contract>(
    runs: &Arc<Mutex<Runs>>,
    lane: fn(&Note<C>, &RawRecord) -> String,
) -> impl Handler<Function<(Event<Note<C>>, RawRecord)>, Input = Event<Note<C>>> + use<C> {
    let runs = runs.clone();
    move |Event(note): Event<Note<C>>, record: RawRecord| {
        let (runs, lane) = (runs.clone(), lane(&note, &record));
        async move {
            {
                let mut runs = runs.lock().unwrap();
                let in_lane = runs.running.entry(lane.clone()).or_default();
                *in_lane += 1;
                runs.in_a_lane = runs.running[&lane].max(runs.in_a_lane);
                runs.at_once = runs.running.values().sum::<usize>().max(runs.at_once);
            }
            // Spread without a random number: no two neighbours take the same time.
            let wait = uuid::Uuid::now_v7().as_u128() % 12;
            tokio::time::sleep(Duration::from_millis(wait as u64)).await;
            let mut runs = runs.lock().unwrap();
            *runs.running.get_mut(&lane).unwrap() -= 1;
            runs.order.push((lane, note.n));
            Ok::<_, HandlerError>(())
        }
    }
}

fn assert_ordered(runs: &Runs) {
    let mut lanes: HashMap<&str, Vec<u32>> = HashMap::new();
    for (lane, n) in &runs.order {
        lanes.entry(lane).or_default().push(*n);
    }
    for (lane, order) in lanes {
        assert!(order.is_sorted(), "lane {lane}: {order:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_a_key_are_handled_in_order_while_keys_overlap() {
    contract!(ByKey: "ordering.by_key");
    let kafka = client();
    let runs = Arc::new(Mutex::new(Runs::default()));
    let handler = busy::<ByKey>(&runs, |note, _| note.key.clone());
    let running = start(consumer::<ByKey>().handle_named("busy", handler), &kafka).await;
    let events = (0..40).flat_map(|n| (0..25).map(move |k| note::<ByKey>(format!("key-{k}"), n)));
    Publisher::new(&kafka).publish_all(events).await.unwrap();
    eventually("all are handled", SOON, || running.status().counts().handled() == 1_000).await;
    stop(running).await;
    let runs = runs.lock().unwrap();
    assert_ordered(&runs);
    assert_eq!((runs.order.len(), runs.in_a_lane), (1_000, 1), "one of a key at a time");
    assert!(runs.at_once > 2, "keys overlap: {} at once", runs.at_once);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_handlers_run_at_once_than_the_concurrency_allows() {
    contract!(Limited: "ordering.limited");
    let kafka = client();
    let runs = Arc::new(Mutex::new(Runs::default()));
    let handler = busy::<Limited>(&runs, |_, record| record.0.offset.to_string());
    let builder = consumer::<Limited>().handle_named("busy", handler).concurrency(3);
    let running = start(builder, &kafka).await;
    // Events without a key are in no order: each has a lane of its own.
    let events = (0..200).map(|n| note::<Limited>("", n));
    Publisher::new(&kafka).publish_all(events).await.unwrap();
    eventually("all are handled", SOON, || running.status().counts().handled() == 200).await;
    stop(running).await;
    let at_once = runs.lock().unwrap().at_once;
    assert!((2..=3).contains(&at_once), "{at_once} at once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_partition_events_of_a_partition_are_handled_in_order_while_partitions_overlap() {
    contract!(ByPartition: "ordering.by_partition");
    let kafka = client();
    let runs = Arc::new(Mutex::new(Runs::default()));
    let handler = busy::<ByPartition>(&runs, |_, record| record.0.partition.to_string());
    let builder = consumer::<ByPartition>().handle_named("busy", handler);
    let running = start(builder.order(Order::ByPartition), &kafka).await;
    let events = (0..300).map(|n| note::<ByPartition>(format!("key-{}", n % 20), n));
    Publisher::new(&kafka).publish_all(events).await.unwrap();
    eventually("all are handled", SOON, || running.status().counts().handled() == 300).await;
    stop(running).await;
    let runs = runs.lock().unwrap();
    assert_ordered(&runs);
    assert_eq!((runs.in_a_lane, runs.at_once), (1, 2), "both partitions, one event of each");
}
