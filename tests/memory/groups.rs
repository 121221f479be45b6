//! Groups: members come, go, die and are cut off.

use tidings::consumer::RunningConsumer;
use tidings::event::TopicName;
use tidings::publisher::Publisher;
use tidings::transport::TopicPartition;
use tidings::transport::memory::{Fault, Memory, MemoryBroker};

use crate::stage::*;

async fn start(client: &Memory, seen: &Seen) -> RunningConsumer {
    consumer(seen, |_| 0).build(client).unwrap().start().await.unwrap()
}

async fn shared(running: &[&RunningConsumer], each: usize) {
    while !running.iter().all(|running| running.status().partitions() == each) {
        tokio::time::sleep(secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn two_members_share_the_partitions_and_each_event_runs_once() {
    let broker = MemoryBroker::new();
    let seen = Seen::default();
    let one = start(&broker.client("one").unwrap(), &seen).await;
    // Four partitions of the main topic and of its two tiers.
    shared(&[&one], 12).await;
    let publisher = Publisher::new(&broker.client("shop").unwrap());
    publisher.publish_all((0..200).map(paid)).await.unwrap();
    let two = start(&broker.client("two").unwrap(), &seen).await;
    shared(&[&one, &two], 6).await;
    publisher.publish_all((200..400).map(paid)).await.unwrap();
    quiet(&broker).await;
    assert!(two.stop(secs(5)).await.is_clean());
    shared(&[&one], 12).await;
    publisher.publish_all((400..600).map(paid)).await.unwrap();
    quiet(&broker).await;
    let mut numbers = seen.numbers();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..600).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn a_killed_members_partitions_go_to_another_once_its_session_is_over() {
    let broker = MemoryBroker::new();
    let seen = Seen::default();
    let (first, second) = (broker.client("one").unwrap(), broker.client("two").unwrap());
    let one = start(&first, &seen).await;
    let two = start(&second, &seen).await;
    shared(&[&one, &two], 6).await;
    first.kill();
    drop(one);
    let each = (0..50).map(|n| Paid { key: format!("of its own {n}"), n });
    Publisher::new(&second).publish_all(each).await.unwrap();
    let began = tokio::time::Instant::now();
    quiet(&broker).await;
    let mut numbers = seen.numbers();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..50).collect::<Vec<_>>());
    assert!(began.elapsed() >= secs(5) && began.elapsed() < secs(20), "{:?}", began.elapsed());
    assert_eq!(two.status().partitions(), 12);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_was_cut_off_for_longer_than_its_session_joins_again() {
    let broker = MemoryBroker::new();
    let seen = Seen::default();
    let client = broker.client("one").unwrap();
    let one = start(&client, &seen).await;
    shared(&[&one], 12).await;
    broker.inject(Fault::Isolated { client: 0, lasts: secs(30) });
    tokio::time::sleep(secs(20)).await;
    assert!(!one.status().is_ready());
    Publisher::new(&client).publish(paid(7)).await.unwrap();
    quiet(&broker).await;
    assert_eq!(seen.numbers(), [7]);
    shared(&[&one], 12).await;
    assert!(one.status().is_ready(), "{:?}", one.status().problems());
}

#[tokio::test(start_paused = true)]
async fn a_refused_commit_is_sent_again() {
    let broker = MemoryBroker::new();
    let seen = Seen::default();
    let client = broker.client("one").unwrap();
    let one = start(&client, &seen).await;
    shared(&[&one], 12).await;
    broker.inject(Fault::CommitRefused);
    let at = Publisher::new(&client).publish(paid(1)).await.unwrap().delivered;
    quiet(&broker).await;
    let paid = TopicPartition { topic: TopicName::from_static("paid"), partition: at.partition };
    assert_eq!((broker.committed("mailer", &paid), seen.numbers().len()), (Some(1), 1));
}

#[tokio::test(start_paused = true)]
async fn a_tiers_offset_outlives_the_brokers_memory_of_topics_that_nobody_subscribes_to() {
    let broker = MemoryBroker::builder().offsets_retention(secs(90 * 60)).build();
    let seen = Seen::default();
    let client = broker.client("one").unwrap();
    let one = consumer(&seen, |_| 1).build(&client).unwrap().start().await.unwrap();
    Publisher::new(&client).publish(paid(1)).await.unwrap();
    quiet(&broker).await;
    tokio::time::sleep(secs(4 * 60 * 60)).await;
    assert!(one.stop(secs(5)).await.is_clean());
    let again = consumer(&seen, |_| 1).build(&client).unwrap().start().await.unwrap();
    shared(&[&again], 12).await;
    tokio::time::sleep(secs(60)).await;
    assert_eq!(seen.numbers(), [1, 1], "it failed once, ran on its tier, and never again");
}
