//! Logs: what is cleaned away, and what readers do about it.

use tidings::event::TopicName;
use tidings::publisher::Publisher;
use tidings::transport::memory::{Cleanup, MemoryBroker, MemoryConfig, OffsetReset, TopicConfig};

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
