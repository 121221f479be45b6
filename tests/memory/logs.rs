//! Logs: what is cleaned away, and what readers do about it.

use tidings::event::TopicName;
use tidings::publisher::Publisher;
use tidings::transport::memory::{Cleanup, MemoryBroker, MemoryConfig, OffsetReset, TopicConfig};
use tidings::transport::{SourceEvent, Subscription, TopicPartition, Transport};

use crate::stage::*;

const PAID: TopicName = TopicName::from_static("paid");

fn one_partition(cleanup: Cleanup) -> TopicConfig {
    let mut config = TopicConfig::default();
    (config.partitions, config.cleanup) = (1, cleanup);
    config
}

#[tokio::test(start_paused = true)]
async fn a_reader_whose_place_is_cleaned_away_goes_on_where_its_settings_say() {
    for (reset, expected) in [(OffsetReset::Earliest, vec![3, 4]), (OffsetReset::Latest, vec![4])] {
        let broker = MemoryBroker::new();
        broker.create_topic(PAID, one_partition(Cleanup::Delete(secs(60))));
        let seen = Seen::default();
        let client = broker.connect(MemoryConfig::new("one").offset_reset(reset)).unwrap();
        let publisher = Publisher::new(&client);
        let running = consumer(&seen, |_| 0).build(&client).unwrap().start().await.unwrap();
        publisher.publish(paid(1)).await.unwrap();
        tokio::time::sleep(secs(1)).await;
        assert!(running.stop(secs(5)).await.is_clean());
        let before = seen.numbers();
        publisher.publish(paid(2)).await.unwrap();
        tokio::time::sleep(secs(120)).await;
        publisher.publish(paid(3)).await.unwrap();
        let _running = consumer(&seen, |_| 0).build(&client).unwrap().start().await.unwrap();
        tokio::time::sleep(secs(10)).await;
        publisher.publish(paid(4)).await.unwrap();
        tokio::time::sleep(secs(10)).await;
        assert_eq!(seen.numbers()[before.len()..], expected, "{reset:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn gaps_of_compaction_do_not_hold_up_commits() {
    let broker = MemoryBroker::new();
    broker.create_topic(PAID, one_partition(Cleanup::Compact));
    let client = broker.client("one").unwrap();
    Publisher::new(&client).publish_all((0..20).map(paid)).await.unwrap();
    broker.compact();
    assert_eq!(broker.records(&PAID).len(), 5, "one for each key");
    let seen = Seen::default();
    let _running = consumer(&seen, |_| 0).build(&client).unwrap().start().await.unwrap();
    quiet(&broker).await;
    assert_eq!(seen.numbers(), [15, 16, 17, 18, 19]);
}

#[tokio::test(start_paused = true)]
async fn a_reader_without_an_offset_that_is_to_begin_nowhere_reads_nothing_and_says_so() {
    let broker = MemoryBroker::new();
    broker.create_topic(PAID, one_partition(Cleanup::Off));
    let strict = MemoryConfig::new("one").offset_reset(OffsetReset::Error);
    let client = broker.connect(strict).unwrap();
    Publisher::new(&client).publish(paid(1)).await.unwrap();
    let (topics, followers) = (vec![PAID], Vec::new());
    let group = "group".to_owned();
    let subscription =
        Subscription { group, topics, followers, revoke_wait: secs(1), kept: None, ends: false };
    let mut source = client.subscribe(subscription).unwrap();
    let (mut assigned, mut errors) = (0, Vec::new());
    while let Ok(Some(event)) = tokio::time::timeout(secs(10), source.events.recv()).await {
        match event {
            SourceEvent::Assigned(partitions) => assigned += partitions.len(),
            SourceEvent::Error(error) => errors.push(error.to_string()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(assigned, 1);
    assert!(errors.len() == 1 && errors[0].contains("no committed offset"), "{errors:?}");
    // Told where to begin, it does.
    source.control.seek(vec![(TopicPartition { topic: PAID, partition: 0 }, 0)]);
    let read = tokio::time::timeout(secs(10), source.events.recv()).await.unwrap();
    assert!(matches!(read, Some(SourceEvent::Records(batch)) if batch.records.len() == 1));
}

#[tokio::test(start_paused = true)]
async fn partitions_that_a_topic_gets_later_are_read_too() {
    let broker = MemoryBroker::new();
    broker.create_topic(PAID, one_partition(Cleanup::Off));
    let client = broker.client("one").unwrap();
    let seen = Seen::default();
    // Its tiers grow with it, as the consumer wants them.
    let running = consumer(&seen, |_| 0).build(&client).unwrap().start().await.unwrap();
    let partitions = |topic: &TopicName| broker.ends(topic).len();
    assert_eq!(partitions(&PAID), 1);
    broker.add_partitions(&PAID, 4);
    for (tier, _) in broker.topics().into_iter().filter(|(name, _)| name.as_str().contains("retry"))
    {
        broker.add_partitions(&tier, 4);
    }
    broker.add_partitions(&PAID, 2);
    assert_eq!(partitions(&PAID), 4, "there are never fewer");
    let publisher = Publisher::new(&client);
    publisher.publish_all((0..40).map(paid)).await.unwrap();
    quiet(&broker).await;
    let used = broker.ends(&PAID).iter().filter(|(_, end)| *end > 0).count();
    assert!(used > 1, "{:?}", broker.ends(&PAID));
    let mut numbers = seen.numbers();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..40).collect::<Vec<_>>());
    assert_eq!(running.status().partitions(), 12);
}
