//! From a publisher to handlers, through tiers, to the dead letters.

use tidings::event::TopicName;
use tidings::publisher::Publisher;
use tidings::transport::memory::MemoryBroker;
use tokio::time::Instant;

use crate::stage::*;

#[tokio::test(start_paused = true)]
async fn events_reach_their_handlers_in_the_order_of_their_keys() {
    let broker = MemoryBroker::new();
    let shop = broker.client("shop").unwrap();
    let seen = Seen::default();
    let running = consumer(&seen, |_| 0)
        .build(&broker.client("mailer").unwrap())
        .unwrap()
        .start()
        .await
        .unwrap();
    Publisher::new(&shop).publish_all((0..100).map(paid)).await.unwrap();
    quiet(&broker).await;
    let numbers = seen.numbers();
    assert_eq!(numbers.len(), 100);
    for key in 0..5 {
        let of_key: Vec<_> = numbers.iter().filter(|n| *n % 5 == key).collect();
        assert!(of_key.is_sorted(), "{of_key:?}");
    }
    assert!(running.stop(secs(5)).await.is_clean());
}

#[tokio::test(start_paused = true)]
async fn a_failed_event_waits_for_its_tiers_in_virtual_time_and_ends_as_a_dead_letter() {
    let began = std::time::Instant::now();
    let broker = MemoryBroker::new();
    let seen = Seen::default();
    let running = consumer(&seen, |_| 9)
        .build(&broker.client("mailer").unwrap())
        .unwrap()
        .start()
        .await
        .unwrap();
    let start = Instant::now();
    Publisher::new(&broker.client("shop").unwrap()).publish(paid(1)).await.unwrap();
    quiet(&broker).await;
    let after: Vec<_> = seen.all().iter().map(|(_, at)| at.duration_since(start)).collect();
    assert_eq!(after.len(), 3);
    assert!(after[1] >= secs(5) && after[1] < secs(6), "{after:?}");
    assert!(after[2] >= secs(65) && after[2] < secs(67), "{after:?}");
    let dead = broker.records(&TopicName::from_static("paid.dlq"));
    assert_eq!(dead.len(), 1);
    assert!(began.elapsed() < secs(5), "a minute passed at once");
    assert!(running.stop(secs(5)).await.is_clean());
}
