//! Ends of partitions, and a hook that panics, on the embedded broker.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tidings::publisher::Publisher;
use tidings::transport::TopicPartition;

use crate::events::{Note, contract, note};
use crate::stage::*;
use crate::support::{SOON, Seen, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ends_of_main_topics_and_tiers_are_told_apart() {
    contract!(Ends: "hooks.ends");
    let kafka = client();
    let ends = Seen::<TopicPartition>::default();
    let told = ends.clone();
    let builder = consumer::<Ends>()
        .handle(record::<Ends>)
        .state(Seen::<Note<Ends>>::default())
        .on_partition_end(move |_, partition| told.add(partition.clone()));
    let running = start(builder, &kafka).await;
    // 2 partitions of the main topic and of each of the two tiers.
    let each = || ends.all().into_iter().collect::<BTreeSet<_>>().len() == 6;
    eventually("each end is told", SOON, each).await;
    let before = ends.len();
    Publisher::new(&kafka).publish(note::<Ends>("k", 1)).await.unwrap();
    let again = || ends.all()[before..].iter().any(|end| end.topic.as_str() == "hooks.ends");
    eventually("and again behind one more", SOON, again).await;
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hook_that_panics_once_costs_its_member_a_restart_and_no_event() {
    contract!(Panics: "hooks.panics");
    let kafka = client();
    let (seen, calls) = (Seen::<Note<Panics>>::default(), Arc::new(AtomicUsize::new(0)));
    let builder =
        consumer::<Panics>().handle(record::<Panics>).state(seen.clone()).on_record(move |_, _| {
            assert!(calls.fetch_add(1, Ordering::SeqCst) != 5, "a bug of the user's")
        });
    let running = start(builder, &kafka).await;
    let events = (0..50).map(|n| note::<Panics>(format!("key-{}", n % 5), n));
    Publisher::new(&kafka).publish_all(events).await.unwrap();
    let all = || seen.all().iter().map(|note| note.n).collect::<BTreeSet<_>>().len() == 50;
    eventually("all are handled", SOON, all).await;
    eventually("the member is back", SOON, || running.status().is_ready()).await;
    assert_eq!(running.status().counts().restarts(), 1);
    stop(running).await;
}
