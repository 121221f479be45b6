//! Row 36: events that can never be published.

use std::time::Duration;

use tidings::retry::Backoff;
use tidings::store::OutboxStore;

use crate::stage::*;
use crate::support::*;

fn refused(key: &str, n: u32) -> tidings::event::Envelope {
    event_on(MISSING, Some(key), n)
}

#[tokio::test]
async fn an_event_that_cannot_be_published_is_parked_with_its_reason_and_its_key_waits_behind_it() {
    let Some(stage) = stage().await else { return };
    let relay = stage.relay().backoff(Backoff::fixed(Duration::from_millis(20))).park_after(3);
    let relay = relay.build(&stage.client("relay")).unwrap().start();
    stage.store_all(vec![refused("a", 1), refused("a", 2), event("a", 1), event("b", 1)]).await;
    stage.store_all(vec![event_on(MISSING, None, 9)]).await;
    stage.drained().await;
    assert_eq!(stage.records(), 2, "the same key on another topic flows, and another key");
    let parked = stage.store.parked(10).await.unwrap();
    let shown: Vec<_> = parked.iter().map(|p| (p.key.as_deref(), p.behind)).collect();
    assert_eq!(shown, [(Some(&b"a"[..]), 1), (None, 0)]);
    assert!(parked[0].reason.contains("missing"), "{}", parked[0].reason);
    // What comes later waits too, and other keys do not.
    stage.store_all(vec![refused("a", 3), event("c", 1)]).await;
    stage.drained().await;
    assert_eq!(stage.records(), 3);
    let backlog = stage.store.backlog().await.unwrap();
    assert_eq!((backlog.parked, backlog.behind_parked), (2, 2));
    assert!(relay.status().problems().is_empty(), "{:?}", relay.status().problems());
    assert_eq!(relay.status().counts().parked(), 2);
    stop(relay).await;

    // A relay that begins later knows of it.
    let relay = stage.start();
    stage.store_all(vec![refused("a", 4)]).await;
    stage.drained().await;
    assert_eq!(stage.store.parked(10).await.unwrap()[0].behind, 3);

    // Somebody makes the topic, and puts the event back.
    stage.broker.create_topic(MISSING, Default::default());
    assert!(stage.store.release(parked[0].row).await.unwrap());
    stage.store_all(vec![refused("a", 5)]).await;
    eventually("all of its key are there", SOON, || stage.broker.records(&MISSING).len() == 5)
        .await;
    let payload = |r: &tidings::transport::Received| r.payload.clone().unwrap();
    let numbers: Vec<_> = stage.broker.records(&MISSING).iter().map(payload).collect();
    assert_eq!(numbers, ["1", "2", "3", "4", "5"]);
    assert!(!stage.store.release(parked[0].row).await.unwrap(), "it is parked no more");
    assert!(stage.store.discard(parked[1].row).await.unwrap());
    stage.drained().await;
    assert_eq!(stage.count("{outbox_parked}").await, 0);
    stop(relay).await;
}

#[tokio::test]
async fn a_discarded_event_is_gone_and_what_waited_behind_it_goes_on() {
    let Some(stage) = stage().await else { return };
    let relay = stage.relay().backoff(Backoff::fixed(Duration::from_millis(5))).park_after(1);
    let relay = relay.build(&stage.client("relay")).unwrap().start();
    stage.store_all(vec![refused("a", 1), refused("a", 2)]).await;
    stage.rows("{outbox_parked}", 2).await;
    let head = &stage.store.parked(10).await.unwrap()[0];
    stage.broker.create_topic(MISSING, Default::default());
    assert!(stage.store.discard(head.row).await.unwrap());
    eventually("the next one", SOON, || stage.broker.records(&MISSING).len() == 1).await;
    assert_eq!(stage.broker.records(&MISSING)[0].payload.as_deref(), Some(&b"2"[..]));
    stop(relay).await;
}

#[tokio::test]
async fn a_row_that_nobody_can_read_is_parked_and_others_flow() {
    let Some(stage) = stage().await else { return };
    stage
        .execute(
            "INSERT INTO {outbox} (shard, event_id, topic, headers, payload, made_at) \
             VALUES (3, 'x', 'not a topic', '', '', 0), (4, 'y', 'paid', '\\x01', '', 0)",
        )
        .await;
    stage.store_all(vec![event("a", 1)]).await;
    let relay = stage.start();
    stage.drained().await;
    assert_eq!(stage.records(), 1);
    assert_eq!(stage.store.parked(10).await.unwrap().len(), 2);
    stop(relay).await;
}
