//! Three brokers, of which one dies.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tidings::consumer::*;
use tidings::publisher::Publisher;

use crate::broker::OwnBroker;
use crate::events::*;
use crate::inspect::Inspector;
use crate::stage::*;
use crate::support::*;

event!(Kept, "nodes.kept");

const KEYS: u32 = 12;
/// More events than a key has.
const EACH: u32 = 1_000_000;

/// Every tenth event of a key takes the way through a tier.
fn every_tenth_from_a_tier(ran: &Ran) -> Result<(), HandlerError> {
    if ran.n % 10 == 9 { from_a_tier(ran) } else { Ok(()) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_one_of_three_brokers_killed_under_load_nothing_is_lost_and_keys_keep_their_order() {
    let Some(cluster) = OwnBroker::start_three().await else { return };
    let kafka = client("nodes", &cluster.address);
    let seen = Seen::default();
    let running = consumer("nodes", 3)
        .handle_named("note", note::<Kept>(seen.clone(), every_tenth_from_a_tier))
        .retry(tiers([Duration::from_millis(300)]))
        .start_on(&kafka)
        .await;
    let offsets = Inspector::new(&cluster.address, &named("nodes"));
    let (main, tier) = (topic(Kept::TOPIC), Kept::beside("retry.300ms"));
    for topic in [&main, &tier] {
        assert_eq!(offsets.replicas(topic), [3, 3, 3], "{topic}");
    }

    let publisher = Publisher::new(&kafka);
    let enough = Arc::new(AtomicBool::new(false));
    let publishing: Vec<_> = (0..KEYS)
        .map(|key| {
            let (publisher, enough) = (publisher.clone(), enough.clone());
            tokio::spawn(async move {
                let mut pace = tokio::time::interval(Duration::from_millis(10));
                let mut n = 0;
                while !enough.load(Ordering::Relaxed) {
                    pace.tick().await;
                    let event = Kept::new(format!("k{key}"), key * EACH + n);
                    publisher.publish(event).await.unwrap();
                    n += 1;
                }
                n as usize
            })
        })
        .collect();
    let acknowledged = || publisher.counts().acknowledged();
    eventually("it is under load", SOON, || acknowledged() > 500).await;
    cluster.kill_node(2).await;
    let before = acknowledged();
    eventually("it goes on with two", SOON, || acknowledged() > before + 500).await;
    enough.store(true, Ordering::Relaxed);
    let mut all = 0;
    for key in publishing {
        all += key.await.unwrap();
    }

    let done = |ran: &Ran| ran.n % 10 != 9 || ran.attempt == 2;
    let times = || {
        let mut times = BTreeMap::<u32, u32>::new();
        let ran = seen.all().into_iter().filter(|ran| done(ran));
        ran.for_each(|ran| *times.entry(ran.n).or_default() += 1);
        times
    };
    eventually("all are done", 2 * SOON, || times().len() == all).await;
    let twice = times().values().filter(|times| **times > 1).count();
    println!("{before} of {all} acknowledged when a broker was killed; {twice} were done twice");
    let mut last = BTreeMap::<u32, u32>::new();
    for ran in seen.all().iter().filter(|ran| ran.attempt == 1) {
        let last = last.entry(ran.n / EACH).or_insert(ran.n);
        // What was seen before may come again; what is new comes in order.
        assert!(ran.n <= *last + 1, "{} came after {last}", ran.n);
        *last = (*last).max(ran.n);
    }
    let committed =
        || (0..3).filter_map(|partition| offsets.committed(&main, partition)).sum::<i64>();
    eventually("all is committed", SOON, || all as i64 == committed()).await;

    cluster.start_again().await;
    publisher.publish(Kept::new("k", KEYS * EACH)).await.unwrap();
    eventually("it goes on", SOON, || times().len() == all + 1).await;
    stop(running).await;
}
