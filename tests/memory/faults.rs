//! What goes wrong, by script.

use tidings::event::TopicName;
use tidings::publisher::Publisher;
use tidings::transport::memory::{Fault, MemoryBroker};

use crate::stage::*;

#[tokio::test(start_paused = true)]
async fn a_broker_that_is_gone_for_a_while_loses_nothing() {
    let broker = MemoryBroker::new();
    let seen = Seen::default();
    let running = consumer(&seen, |_| 0)
        .build(&broker.client("mailer").unwrap())
        .unwrap()
        .start()
        .await
        .unwrap();
    let publisher = Publisher::new(&broker.client("shop").unwrap());
    broker.inject(Fault::BrokerGone(secs(20)));
    assert!(publisher.problem().is_some());
    publisher.publish(paid(1)).await.unwrap();
    assert!(publisher.problem().is_none());
    quiet(&broker).await;
    assert_eq!(seen.numbers(), [1]);
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn a_lost_acknowledgement_doubles_nothing() {
    let broker = MemoryBroker::new();
    let publisher = Publisher::new(&broker.client("shop").unwrap());
    broker.inject(Fault::AcknowledgementLost);
    publisher.publish_all((0..10).map(paid)).await.unwrap();
    assert_eq!(broker.records(&TopicName::from_static("paid")).len(), 10);
}
