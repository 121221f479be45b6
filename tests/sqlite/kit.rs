//! The test kit on an outbox: what waits there is not settled.

use std::time::Duration;

use tidings::store::OutboxStore;
use tidings::testing::TestKit;
use tidings::transport::memory::{Fault, MemoryConfig};

use crate::stage::*;

#[tokio::test]
async fn it_is_settled_once_all_that_is_committed_is_published_and_marked() {
    let stage = stage().await;
    let kit = TestKit::on(stage.broker.clone());
    let relay = stage.relay().poll(Duration::from_millis(20));
    kit.start_relay(relay.build(&kit.transport("shop")).unwrap());
    for n in 0..20 {
        stage.store_all((0..50).map(|of| event(&format!("k{of}"), n)).collect()).await;
        kit.settled().await;
        assert_eq!(stage.broker.records(&PAID).len(), (n as usize + 1) * 50);
        assert_eq!(stage.store.backlog().await.unwrap().rows, 0);
    }
}

#[tokio::test]
async fn an_outbox_that_is_not_published_is_what_is_left() {
    let stage = stage().await;
    let kit = TestKit::on(stage.broker.clone()).settle_within(Duration::from_millis(200));
    let client = kit.connect(MemoryConfig::new("shop"));
    let status = kit.start_relay(stage.relay().name("shop").build(&client).unwrap());
    stage.broker.inject(Fault::BrokerGone(Duration::from_secs(60)));
    stage.store_all(vec![event("k", 1), event("k", 2)]).await;
    let unsettled = kit.try_settled().await.unwrap_err();
    let line = format!("2 rows of the outbox of {} are not published", status.name());
    assert!(unsettled.left().iter().any(|left| left.starts_with(&line)), "{unsettled}");
}
