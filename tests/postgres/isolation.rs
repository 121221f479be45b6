//! Databases whose transactions are isolated more strictly than by default: all holds, or it is said.

use std::time::Duration;

use sqlx::Row;
use tidings::retry::{Backoff, RetryPolicy};
use tidings::store::postgres::PostgresInbox;
use tidings::store::{Claim, InboxTables, OutboxStore, StoreError, Transactions};

use crate::inbox_stage::*;
use crate::stage::*;
use crate::support::*;

const STRICTER: [&str; 2] = ["repeatable read", "serializable"];

/// Waits until somebody waits for a lock in the stage's database.
async fn somebody_waits(stage: &Stage) {
    let waits = "SELECT count(*) FROM pg_stat_activity \
                 WHERE wait_event_type = 'Lock' AND datname = current_database()";
    let deadline = tokio::time::Instant::now() + SOON;
    while sqlx::query(waits).fetch_one(&stage.pool).await.unwrap().get::<i64, _>(0) == 0 {
        assert!(tokio::time::Instant::now() < deadline, "nobody waits");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_parked_while_a_release_or_discard_waits_is_put_back_too() {
    for (level, itself) in [(STRICTER[0], true), (STRICTER[1], true), (STRICTER[0], false)] {
        let Some(stage) = stage_of(level).await else { return };
        let relay = stage.relay().park_after(1).build(&stage.client("relay")).unwrap().start();
        stage.store_all(vec![event_on(MISSING, Some("a"), 1)]).await;
        stage.rows("{outbox_parked}", 1).await;
        stop(relay).await;
        let head = stage.store.parked(1).await.unwrap()[0].row;
        // As a relay does it.
        let mut parking =
            stage.pool.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await.unwrap();
        let locked = "SELECT FROM {outbox_leases} \
                      WHERE shard = (SELECT shard FROM {outbox_parked}) FOR SHARE";
        sqlx::query(stage.sql(locked)).execute(&mut *parking).await.unwrap();
        let store = stage.store.clone();
        let put_back = tokio::spawn(async move {
            if itself { store.release(head).await } else { store.discard(head).await }
        });
        somebody_waits(&stage).await;
        let behind = "INSERT INTO {outbox_parked} \
             SELECT id + 1, shard, event_id, topic, key, headers, '2', made_at, appended_at, now() \
             FROM {outbox_parked}";
        sqlx::query(stage.sql(behind)).execute(&mut *parking).await.unwrap();
        parking.commit().await.unwrap();
        assert!(put_back.await.unwrap().unwrap(), "{level}");
        assert_eq!(stage.count("{outbox_parked}").await, 0, "{level}");
        stage.broker.create_topic(MISSING, Default::default());
        let relay = stage.start();
        stage.drained().await;
        let there = stage.broker.records(&MISSING);
        let there: Vec<_> = there.iter().map(|r| r.payload.clone().unwrap()).collect();
        let expected: &[&str] = if itself { &["1", "2"] } else { &["2"] };
        assert_eq!(there, expected, "{level}");
        stop(relay).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_transactions_that_commit_late_or_not_are_published_in_order() {
    for level in STRICTER {
        let Some(stage) = stage_of(level).await else { return };
        let relays = [stage.start(), stage.start()];
        stage.execute("CREATE TABLE {aggregates} (key text PRIMARY KEY, n int NOT NULL)").await;
        stage
            .execute("INSERT INTO {aggregates} SELECT 'k' || i, 0 FROM generate_series(0, 3) i")
            .await;
        let mut late = stage.pool.begin().await.unwrap();
        stage.append(&mut late, vec![event("late", 1)]).await;
        let write = async |n: u32| -> Result<u32, sqlx::Error> {
            let key = format!("k{}", n % 4);
            for refused in 0.. {
                let mut transaction = stage.pool.begin().await?;
                let change = "UPDATE {aggregates} SET n = n + 1 WHERE key = $1 RETURNING n";
                let changed = sqlx::query(stage.sql(change)).bind(&key);
                match changed.fetch_one(&mut *transaction).await {
                    Ok(row) => {
                        let n: i32 = row.get(0);
                        let stored = vec![event(&key, n.unsigned_abs())];
                        // The database may refuse any statement so.
                        if stage.outbox.append(&mut transaction, stored).await.is_err() {
                            continue;
                        }
                    }
                    Err(_) => continue,
                }
                if transaction.commit().await.is_ok() {
                    return Ok(refused);
                }
            }
            unreachable!()
        };
        for written in futures::future::join_all((0..100).map(write)).await {
            written.unwrap();
        }
        late.commit().await.unwrap();
        stage.drained().await;
        let published = stage.published();
        assert_eq!(published["late"], [1], "{level}");
        for key in 0..4 {
            assert_eq!(published[&format!("k{key}")], (1..=25).collect::<Vec<_>>(), "{level}");
        }
        for relay in relays {
            stop(relay).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_claim_an_event_at_once_the_second_finds_it_or_is_told_to_come_again() {
    for level in STRICTER {
        let Some(stage) = stage_of(level).await else { return };
        let claim = Claim { group: "books", handler: "book", source: "shop", event: "1" };
        let claims = async |store: tidings::store::postgres::PostgresStore| {
            let mut transaction = store.open().await.unwrap();
            let claimed = store.claim(&mut transaction, &claim, SOON).await;
            (claimed, transaction)
        };
        let (claimed, first) = claims(stage.store.clone()).await;
        assert!(claimed.unwrap());
        let second = tokio::spawn({
            let store = stage.store.clone();
            async move {
                let mut transaction = store.open().await.unwrap();
                store.claim(&mut transaction, &claim, SOON).await
            }
        });
        somebody_waits(&stage).await;
        first.commit().await.unwrap();
        let told = second.await.unwrap().unwrap_err();
        assert!(matches!(told, StoreError::Conflict { what: "claim an event", .. }), "{told}");
        assert!(!claims(stage.store.clone()).await.0.unwrap(), "{level}: it is found");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_are_delivered_again_at_once_have_their_effect_once() {
    for level in STRICTER {
        let Some(stage) = stage_of(level).await else { return };
        stage.make_effects().await;
        let client = stage.client("books");
        // Two brokers, so that each event is there at once; the group is one.
        let elsewhere = tidings::transport::memory::MemoryBroker::new();
        let mut both = Vec::new();
        let events: Vec<_> = (0..50).map(charged).collect();
        for client in [client, elsewhere.client("books").unwrap()] {
            let running = stage.booking().handle(book).build(&client).unwrap();
            both.push(running.start().await.unwrap());
            publish(&client, events.clone()).await;
        }
        stage.caught_up().await;
        eventually("the other too", SOON, || elsewhere.backlog().is_empty()).await;
        assert_eq!(stage.effects().await, (0..50).collect::<Vec<_>>(), "{level}");
        let sum = |count: fn(&tidings::consumer::Counts) -> u64| -> u64 {
            both.iter().map(|running| count(running.status().counts())).sum()
        };
        let counts = (sum(|c| c.handled()), sum(|c| c.duplicates()), sum(|c| c.dead_lettered()));
        assert_eq!(counts, (50, 50, 0), "{level}");
        assert_eq!(stage.store.purge("books", Duration::ZERO, 1_000).await.unwrap(), 50);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_in_the_database_make_conflicts_that_retries_in_place_outlast() {
    for level in STRICTER {
        let Some(stage) = stage_of(level).await else { return };
        stage.make_effects().await;
        let client = stage.client("books");
        let inbox = PostgresInbox::new(stage.outbox.clone()).offsets_in_database();
        let retry = RetryPolicy::none().immediate(100);
        let retry = retry.backoff(Backoff::fixed(Duration::from_millis(5)).jitter(true));
        let consumer = stage.booking().inbox(inbox).retry(retry).handle(book);
        let running = consumer.build(&client).unwrap().start().await.unwrap();
        publish(&client, (0..60).map(charged).collect()).await;
        stage.caught_up().await;
        assert_eq!(stage.effects().await, (0..60).collect::<Vec<_>>(), "{level}");
        assert_eq!(running.status().counts().dead_lettered(), 0, "{level}");
        assert!(running.stop(SOON).await.is_clean());
        let stored = stage.store.offsets("books").await.unwrap();
        assert_eq!(stored.iter().map(|(_, next)| next).sum::<i64>(), 60, "{level}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn services_that_start_together_migrate_once_whatever_the_isolation() {
    for level in STRICTER {
        let Some(stage) = stage_of(level).await else { return };
        for round in 0..5 {
            let tables = tidings::store::Tables::new().prefix(&format!("m{round}_")).unwrap();
            let migrate = || {
                let store = tidings::store::postgres::PostgresStore::with_tables(
                    stage.pool.clone(),
                    tables.clone(),
                );
                tokio::spawn(async move { store.migrate().await })
            };
            let all: Vec<_> = (0..6).map(|_| migrate()).collect();
            for done in all {
                done.await.unwrap().unwrap();
            }
        }
    }
}
