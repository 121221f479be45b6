//! Storing, publishing in commit order, sharing, parking.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use tidings::codec::Format;
use tidings::codec::cloudevents::ContentMode;
use tidings::event::Source;
use tidings::publisher::Publisher;
use tidings::retry::Backoff;
use tidings::store::sqlite::{SqliteOutbox, SqliteStore};
use tidings::store::{OutboxStore, Tables};
use tidings::transport::Received;

use crate::stage::*;
use crate::support::*;

#[tokio::test]
async fn an_event_from_the_outbox_is_byte_for_byte_what_a_publisher_would_have_written() {
    let stage = stage().await;
    let client = stage.client();
    for mode in [ContentMode::Binary, ContentMode::Structured] {
        let events: Vec<_> = (0..3).map(|n| event("k", n)).collect();
        let publisher = Publisher::builder(&client, Format::Json).content_mode(mode).build();
        publisher.publish_envelopes(events.clone()).await.unwrap();
        let source = Source::new("shop").unwrap();
        let outbox = SqliteOutbox::builder(stage.store.clone(), source, Format::Json);
        let outbox = outbox.content_mode(mode).build();
        let mut transaction = stage.pool.begin().await.unwrap();
        outbox.append(&mut transaction, events).await.unwrap();
        transaction.commit().await.unwrap();
        let relay = stage.start();
        stage.drained().await;
        stop(relay).await;
    }
    let mut records = stage.broker.records(&PAID);
    records.sort_by_key(|record| record.offset);
    let bytes = |record: &Received| {
        let headers: Vec<_> =
            record.headers.iter().map(|(n, v)| (n.to_vec(), v.map(<[u8]>::to_vec))).collect();
        (record.key.clone(), record.payload.clone(), headers, record.timestamp)
    };
    let all: Vec<_> = records.iter().map(bytes).collect();
    assert_eq!(all.len(), 12);
    assert_eq!((&all[..3], &all[6..9]), (&all[3..6], &all[9..]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_committed_event_is_published_in_commit_order_by_relays_that_come_and_go() {
    let stage = Arc::new(stage().await);
    let mut relays = vec![stage.start(), stage.start()];
    let writers: Vec<_> = (0..4)
        .map(|key| {
            let stage = stage.clone();
            tokio::spawn(async move {
                for n in 0..40 {
                    let key = format!("k{key}");
                    let mut transaction = stage.pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
                    stage.outbox.append(&mut transaction, vec![event(&key, n)]).await.unwrap();
                    if n % 7 == 3 {
                        // Taken back, and stored again: the number is the same, once.
                        transaction.rollback().await.unwrap();
                        stage.store_all(vec![event(&key, n)]).await;
                    } else {
                        transaction.commit().await.unwrap();
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            })
        })
        .collect();
    stop(relays.remove(0)).await;
    relays.push(stage.start());
    drop(relays.remove(0));
    for writer in writers {
        writer.await.unwrap();
    }
    stage.drained().await;
    let published = stage.published();
    assert_eq!(published.len(), 4);
    for (key, numbers) in published {
        assert_eq!(numbers, (0..40).collect::<Vec<_>>(), "{key}");
    }
    stop(relays.remove(0)).await;
}

#[tokio::test]
async fn a_stale_owner_can_neither_mark_nor_park() {
    let stage = stage().await;
    stage.store_all((0..64).map(|n| event(&format!("k{n}"), n)).collect()).await;
    let stale = stage.store.begin("stale").await.unwrap();
    let all = stale.renew(Duration::from_millis(1)).await.unwrap().shards;
    stale.parked_keys(&all).await.unwrap();
    let rows = stale.fetch(&all, &[], 100).await.unwrap().rows;
    assert_eq!(rows.len(), 64);
    let fresh = stage.store.begin("fresh").await.unwrap();
    let taken = loop {
        let taken = fresh.renew(Duration::from_secs(60)).await.unwrap().shards;
        if taken.len() >= 32 {
            break taken;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let marked: Vec<_> = rows.iter().map(|row| (row.row, row.shard)).collect();
    let held = stale.published(&marked, Duration::ZERO).await.unwrap();
    assert!(held.iter().all(|shard| !taken.contains(shard)), "{held:?}");
    let lost = rows.iter().filter(|row| taken.contains(&row.shard)).count();
    assert_eq!(stage.count("tidings_outbox").await, lost as i64);
    let row = rows.iter().find(|row| taken.contains(&row.shard)).unwrap();
    assert!(!stale.park(row.shard, Some((row.row, "no")), &[]).await.unwrap());
    assert_eq!(stage.count("tidings_outbox").await, lost as i64);
}

#[tokio::test]
async fn an_event_that_cannot_be_published_is_parked_and_put_back_in_its_place() {
    let stage = stage().await;
    let relay = stage.relay().backoff(Backoff::fixed(Duration::from_millis(20))).park_after(2);
    let relay = relay.build(&stage.client()).unwrap().start();
    let refused = |n| event_on(MISSING, "a", n);
    stage.store_all(vec![refused(1), refused(2), event("a", 1), event("b", 1)]).await;
    stage.drained().await;
    stage.store_all(vec![refused(3)]).await;
    stage.drained().await;
    assert_eq!(stage.broker.records(&PAID).len(), 2);
    let parked = stage.store.parked(10).await.unwrap();
    assert_eq!((parked.len(), parked[0].behind), (1, 2));
    assert!(parked[0].reason.contains("missing"), "{}", parked[0].reason);
    let backlog = stage.store.backlog().await.unwrap();
    assert_eq!((backlog.rows, backlog.parked, backlog.behind_parked), (0, 1, 2));
    stage.broker.create_topic(MISSING, Default::default());
    assert!(stage.store.release(parked[0].row).await.unwrap());
    stage.store_all(vec![refused(4)]).await;
    stage.drained().await;
    let payload = |r: &Received| r.payload.clone().unwrap();
    let numbers: Vec<_> = stage.broker.records(&MISSING).iter().map(payload).collect();
    assert_eq!(numbers, ["1", "2", "3", "4"]);
    assert!(!stage.store.discard(parked[0].row).await.unwrap());
    stop(relay).await;
}

#[tokio::test]
async fn a_discarded_event_is_gone_and_what_waited_behind_it_goes_on() {
    let stage = stage().await;
    let relay = stage.relay().backoff(Backoff::fixed(Duration::from_millis(5))).park_after(1);
    let relay = relay.build(&stage.client()).unwrap().start();
    stage.store_all(vec![event_on(MISSING, "a", 1), event_on(MISSING, "a", 2)]).await;
    stage.drained().await;
    let head = &stage.store.parked(10).await.unwrap()[0];
    stage.broker.create_topic(MISSING, Default::default());
    assert!(stage.store.discard(head.row).await.unwrap());
    eventually("the next one", SOON, || stage.broker.records(&MISSING).len() == 1).await;
    assert_eq!(stage.broker.records(&MISSING)[0].payload.as_deref(), Some(&b"2"[..]));
    stop(relay).await;
}

#[tokio::test]
async fn a_delayed_event_comes_when_it_is_due_and_published_rows_are_kept_if_they_are_to_be() {
    let stage = stage().await;
    let relay = stage.relay().keep(Duration::from_secs(60)).build(&stage.client()).unwrap().start();
    let due = Utc::now() + TimeDelta::milliseconds(800);
    let mut transaction = stage.pool.begin().await.unwrap();
    let later = vec![event("k", 2), event("k", 3)];
    stage.outbox.append_later(&mut transaction, later, due).await.unwrap();
    stage.outbox.append(&mut transaction, vec![event("k", 1)]).await.unwrap();
    transaction.commit().await.unwrap();
    eventually("the first", SOON, || stage.published().len() == 1).await;
    assert!(Utc::now() < due);
    stage.drained().await;
    assert!(Utc::now() >= due);
    assert_eq!(stage.published()["k"], [1, 2, 3]);
    assert_eq!(stage.count("tidings_outbox_kept").await, 3);
    stop(relay).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_relay_publishes_within_50_ms_of_the_commit() {
    let stage = stage().await;
    let relay = stage.start();
    stage.store_all(vec![event("k", 0)]).await;
    stage.drained().await;
    let machine = Machine::watch();
    let mut took = Vec::new();
    for n in 1..=15 {
        tokio::time::sleep(Duration::from_millis(150)).await;
        stage.store_all(vec![event("k", n)]).await;
        let committed = Instant::now();
        eventually("it is published", SOON, || stage.published()["k"].len() == 1 + n as usize)
            .await;
        took.push(committed.elapsed());
    }
    took.sort();
    assert!(took[7] <= Duration::from_millis(50) + machine.late(99).await, "{took:?}");
    stop(relay).await;
}

#[tokio::test]
async fn a_schema_is_refused_and_a_prefix_is_not() {
    let stage = stage().await;
    let tables = Tables::new().schema("app").unwrap();
    let refused = SqliteStore::with_tables(stage.pool.clone(), tables).unwrap_err();
    assert!(refused.to_string().contains("SQLite has none"), "{refused}");
    let tables = Tables::new().prefix("order_").unwrap();
    let store = SqliteStore::with_tables(stage.pool.clone(), tables).unwrap();
    assert!(store.begin("early").await.is_err(), "its tables are not there");
    store.migrate().await.unwrap();
    store.begin("relay").await.unwrap();
}
