//! Storing events, and what the tables promise.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use tidings::IntegrationEvent;
use tidings::codec::Format;
use tidings::codec::cloudevents::ContentMode;
use tidings::event::{Flow, Metadata, Source, Tenant};
use tidings::publisher::Publisher;
use tidings::store::postgres::{PostgresOutbox, PostgresStore};
use tidings::store::{OutboxStore, StoreError, Tables};
use tidings::transport::Received;

use crate::stage::*;
use crate::support::*;

#[derive(Debug, Serialize, Deserialize, IntegrationEvent)]
#[event(name = "order_paid", topic = "paid", key = order, version = 3, subject = order)]
struct OrderPaid {
    order: String,
}

fn bytes(record: &Received) -> impl PartialEq + std::fmt::Debug + use<> {
    let headers: Vec<_> =
        record.headers.iter().map(|(n, v)| (n.to_vec(), v.map(<[u8]>::to_vec))).collect();
    (record.key.clone(), record.payload.clone(), headers, record.timestamp)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_from_the_outbox_is_byte_for_byte_what_a_publisher_would_have_written() {
    let Some(stage) = stage().await else { return };
    let mut all = Vec::new();
    for full in [false, true] {
        let mut envelope = event_on(PAID, full.then_some("k"), 7);
        if full {
            let flow = Flow { tenant: Some(Tenant::new("t").unwrap()), ..Flow::current_or_new() };
            envelope.metadata = Metadata {
                data_schema: Some("https://example.org/s".into()),
                causation_id: Some(tidings::event::EventId::parse("order-7/42").unwrap()),
                time: Utc::now(),
                ..Metadata::named("paid", 2, Source::new("shöp").unwrap(), &flow)
            };
        }
        all.push(envelope);
    }
    let client = stage.client("shop");
    for mode in [ContentMode::Binary, ContentMode::Structured] {
        let publisher = Publisher::builder(&client, Format::Json).content_mode(mode).build();
        publisher.publish_envelopes(all.clone()).await.unwrap();
        let source = Source::new("shop").unwrap();
        let outbox = PostgresOutbox::builder(stage.store.clone(), source, Format::Json)
            .content_mode(mode)
            .build();
        let mut transaction = stage.pool.begin().await.unwrap();
        outbox.append(&mut transaction, all.clone()).await.unwrap();
        transaction.commit().await.unwrap();
    }
    let relay = stage.start();
    eventually("all are there", SOON, || stage.records() == 8).await;
    stop(relay).await;
    for envelope in &all {
        let payload = |record: &Received| {
            String::from_utf8_lossy(record.payload.as_ref().unwrap()).into_owned()
        };
        let id = envelope.metadata.id.to_string();
        let is = |record: &&Received| {
            record.headers.get_str("ce_id") == Some(&id) || payload(record).contains(&id)
        };
        let records = stage.broker.records(&PAID);
        let mut of: Vec<_> = records.iter().filter(is).collect();
        of.sort_by_key(|record| record.headers.len());
        let [one, two, three, four] = &of[..] else { panic!("{} records", of.len()) };
        assert_eq!(bytes(one), bytes(two), "structured");
        assert_eq!(bytes(three), bytes(four), "binary");
    }
}

#[tokio::test]
async fn a_typed_event_is_stored_with_the_transaction_and_goes_with_it() {
    let Some(stage) = stage().await else { return };
    let mut transaction = stage.pool.begin().await.unwrap();
    stage.outbox.add(&mut transaction, OrderPaid { order: "1".into() }).await.unwrap();
    transaction.rollback().await.unwrap();
    let mut transaction = stage.pool.begin().await.unwrap();
    let id = stage.outbox.add(&mut transaction, OrderPaid { order: "2".into() }).await.unwrap();
    transaction.commit().await.unwrap();
    let relay = stage.start();
    stage.drained().await;
    let records = stage.broker.records(&PAID);
    let ids: Vec<_> =
        records.iter().map(|r| r.headers.get_str("ce_id").unwrap().to_owned()).collect();
    assert_eq!(ids, [id.to_string()]);
    stop(relay).await;
}

#[tokio::test]
async fn a_delayed_event_comes_when_it_is_due_and_holds_nothing_up() {
    let Some(stage) = stage().await else { return };
    let relay = stage.start();
    let due = Utc::now() + TimeDelta::seconds(4);
    let mut transaction = stage.pool.begin().await.unwrap();
    let later = vec![event("k", 2), event("k", 3)];
    stage.outbox.append_later(&mut transaction, later, due).await.unwrap();
    stage.append(&mut transaction, vec![event("k", 1)]).await;
    transaction.commit().await.unwrap();
    eventually("the one that is not delayed", SOON, || stage.records() == 1).await;
    assert!(Utc::now() < due);
    assert_eq!(stage.store.backlog().await.unwrap().delayed, 2);
    eventually("the others", SOON, || stage.records() == 3).await;
    let late = Utc::now() - due;
    assert!(late >= TimeDelta::zero() && late < TimeDelta::seconds(1), "{late}");
    assert_eq!(stage.published()["k"], [1, 2, 3]);
    stop(relay).await;
}

#[tokio::test]
async fn published_rows_are_kept_for_as_long_as_they_are_to_be() {
    let Some(stage) = stage().await else { return };
    stage.store_all((0..5).map(|n| event("k", n)).collect()).await;
    let keeping = stage.relay().keep(Duration::from_secs(3_600)).build(&stage.client("relay"));
    let relay = keeping.unwrap().start();
    stage.drained().await;
    assert_eq!(stage.count("{outbox_kept}").await, 5);
    stop(relay).await;
    stage.execute("UPDATE {outbox_kept} SET keep_until = now() WHERE id <> 1").await;
    let cleaner = stage.store.begin("cleaner").await.unwrap();
    let tidied = [cleaner.tidy(3).await.unwrap(), cleaner.tidy(3).await.unwrap()];
    assert_eq!((tidied, stage.count("{outbox_kept}").await), ([3, 1], 1));
    // A relay does so at once, also one that keeps nothing itself.
    stage.execute("UPDATE {outbox_kept} SET keep_until = now()").await;
    let relay = stage.start();
    stage.rows("{outbox_kept}", 0).await;
    stop(relay).await;
}

#[tokio::test]
async fn delayed_events_that_are_due_at_once_come_in_batches_and_in_order() {
    let Some(stage) = stage().await else { return };
    let due = Utc::now() - TimeDelta::hours(1);
    for n in (0..50).rev() {
        let mut transaction = stage.pool.begin().await.unwrap();
        let later = due + TimeDelta::seconds(n.into());
        stage.outbox.append_later(&mut transaction, vec![event("k", n)], later).await.unwrap();
        transaction.commit().await.unwrap();
    }
    let relay = stage.relay().batch(7).build(&stage.client("relay")).unwrap().start();
    stage.drained().await;
    assert_eq!(stage.published()["k"], (0..50).collect::<Vec<_>>());
    stop(relay).await;
}

#[tokio::test]
async fn the_same_event_id_on_two_topics_is_two_events() {
    let Some(stage) = stage().await else { return };
    stage.broker.create_topic(MISSING, Default::default());
    let relay = stage.start();
    let (mut events, ids) = (Vec::new(), [event("k", 1).metadata.id, event("k", 2).metadata.id]);
    for (id, key) in ids.into_iter().zip([Some("k"), None]) {
        for topic in [PAID, MISSING] {
            let mut event = event_on(topic, key, 1);
            event.metadata.id = id.clone();
            events.push(event);
        }
    }
    stage.store_all(events).await;
    stage.drained().await;
    for topic in [PAID, MISSING] {
        let records = stage.broker.records(&topic);
        let ids: std::collections::BTreeSet<_> =
            records.iter().map(|record| record.headers.get_str("ce_id").unwrap()).collect();
        assert_eq!((records.len(), ids.len()), (2, 2), "{topic}");
    }
    stop(relay).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn services_that_start_together_migrate_once_and_one_that_did_not_says_so() {
    let Some(stage) = stage().await else { return };
    let schema = format!("m{}", uuid::Uuid::now_v7().simple())[..32].to_owned();
    let tables = Tables::new().schema(&schema).unwrap().prefix("user").unwrap();
    let store = PostgresStore::with_tables(stage.pool.clone(), tables);
    let missing = store.begin("early").await.err();
    assert!(matches!(missing, Some(StoreError::Version { found: 0, .. })), "{missing:?}");
    let all: Vec<_> = (0..4)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.migrate().await })
        })
        .collect();
    for one in all {
        one.await.unwrap().unwrap();
    }
    store.migrate().await.unwrap();
    store.begin("late").await.unwrap();
}

#[tokio::test]
async fn printed_migrations_make_the_same_tables() {
    let Some(stage) = stage().await else { return };
    let schema = format!("p{}", uuid::Uuid::now_v7().simple())[..32].to_owned();
    let tables = Tables::new().schema(&schema).unwrap();
    let store = PostgresStore::with_tables(stage.pool.clone(), tables);
    for migration in store.migrations() {
        sqlx::raw_sql(sqlx::AssertSqlSafe(migration.sql)).execute(&stage.pool).await.unwrap();
    }
    store.begin("relay").await.unwrap();
    store.migrate().await.unwrap();
}
