//! The inbox: whatever is delivered again, and however a transaction ends, an effect is there once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use sqlx::AssertSqlSafe;
use tidings::consumer::{Consumer, Event, HandlerError, State, TopicSetup, Tx};
use tidings::event::Source;
use tidings::inbox::Inbox;
use tidings::outbox::Outbox;
use tidings::retry::RetryPolicy;
use tidings::store::postgres::PostgresStore;
use tidings::store::{InboxTables, StoreError};
use tokio::sync::Notify;

use crate::heard::Heard;
use crate::inbox_stage::*;
use crate::stage::*;
use crate::support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_is_delivered_again_has_its_effect_and_what_follows_from_it_once() {
    let Some(stage) = stage().await else { return };
    stage.make_effects().await;
    let client = stage.client("books");
    let running = stage.booking().handle(book).build(&client).unwrap().start().await.unwrap();
    let events: Vec<_> = (0..20).map(charged).collect();
    for _ in 0..3 {
        publish(&client, events.clone()).await;
    }
    stage.caught_up().await;
    assert_eq!(stage.effects().await, (0..20).collect::<Vec<_>>());
    let counts = running.status().counts();
    assert_eq!((counts.handled(), counts.duplicates()), (20, 40));
    assert!(running.stop(SOON).await.is_clean());
    assert_eq!((stage.count("{inbox}").await, stage.count("{outbox}").await), (20, 20));
    let relay = stage.start();
    stage.drained().await;
    stop(relay).await;
    assert_eq!(stage.records(), 20);
}

/// What a handler waits for before it ends, and how it ends then.
#[derive(Clone, Default)]
struct Gate(Arc<(Notify, AtomicBool, AtomicU32)>);

async fn slow_book(
    Event(event): Event<Charged>,
    mut tx: Tx<PostgresStore>,
    State(insert): State<Insert>,
    State(gate): State<Gate>,
) -> Result<(), HandlerError> {
    note(&mut tx, insert, event.n).await?;
    if gate.0.2.fetch_add(1, Ordering::SeqCst) == 0 {
        gate.0.0.notified().await;
        if gate.0.1.load(Ordering::SeqCst) {
            return Err(HandlerError::permanent("it fails after all"));
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_handle_an_event_at_once_the_second_waits_for_the_first_ones_end() {
    for fails in [false, true] {
        let Some(stage) = stage().await else { return };
        stage.make_effects().await;
        let gate = Gate::default();
        gate.0.1.store(fails, Ordering::SeqCst);
        // Two brokers, so that both get the event; the group is one.
        let elsewhere = tidings::transport::memory::MemoryBroker::new();
        let event = charged(1);
        let mut both = Vec::new();
        for client in [stage.client("books"), elsewhere.client("books").unwrap()] {
            let consumer = stage.booking().handle(slow_book).state(gate.clone());
            let running = consumer.build(&client).unwrap().start().await.unwrap();
            publish(&client, vec![event.clone()]).await;
            eventually("one is in its handler", SOON, || gate.0.2.load(Ordering::SeqCst) > 0).await;
            both.push((running, client));
        }
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
                     AND query LIKE 'INSERT INTO %inbox%'";
        let deadline = tokio::time::Instant::now() + SOON;
        loop {
            let row = sqlx::query(waits).fetch_one(&stage.pool).await.unwrap();
            if sqlx::Row::get::<i64, _>(&row, 0) > 0 {
                break;
            }
            assert!(tokio::time::Instant::now() < deadline, "the second does not wait");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(gate.0.2.load(Ordering::SeqCst), 1, "it has not begun");
        gate.0.0.notify_one();
        stage.caught_up().await;
        eventually("the other too", SOON, || elsewhere.backlog().is_empty()).await;
        let sum = |count: fn(&tidings::consumer::Counts) -> u64| -> u64 {
            both.iter().map(|(running, _)| count(running.status().counts())).sum()
        };
        assert_eq!(stage.effects().await, [1], "fails: {fails}");
        assert_eq!(sum(|counts| counts.handled()), 1);
        assert_eq!(sum(|counts| counts.duplicates()), u64::from(!fails));
        assert_eq!(sum(|counts| counts.dead_lettered()), u64::from(fails));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_success_in_a_transaction_that_cannot_be_committed_is_none() {
    let Some(stage) = stage().await else { return };
    stage.make_effects().await;
    stage.execute("ALTER TABLE {effects} ADD UNIQUE (n) DEFERRABLE INITIALLY DEFERRED").await;
    stage.execute("CREATE TABLE {others} (n integer PRIMARY KEY)").await;
    stage.execute("INSERT INTO {others} VALUES (1)").await;
    stage.execute("INSERT INTO {effects} VALUES (2)").await;
    let other = stage.statement("INSERT INTO {others} VALUES ($1)");
    let tries = Arc::new(std::sync::Mutex::new(BTreeMap::<i32, u32>::new()));
    let handler = {
        let tries = tries.clone();
        move |Event(event): Event<Charged>,
              mut tx: Tx<PostgresStore>,
              State(insert): State<Insert>| {
            let (tries, other) = (tries.clone(), other.clone());
            async move {
                *tries.lock().unwrap().entry(event.n).or_default() += 1;
                note(&mut tx, insert, event.n).await?;
                // The first fails here and hides it; the second fails when it is committed.
                let hidden = note(&mut tx, other, event.n).await;
                assert_eq!(hidden.is_err(), event.n == 1);
                Ok::<_, HandlerError>(())
            }
        }
    };
    let client = stage.client("books");
    let consumer = stage.booking().handle_named("book", handler);
    let running = consumer.build(&client).unwrap().start().await.unwrap();
    publish(&client, (0..3).map(charged).collect()).await;
    stage.caught_up().await;
    assert_eq!(*tries.lock().unwrap(), BTreeMap::from([(0, 1), (1, 4), (2, 4)]));
    assert_eq!(stage.effects().await, [0, 2], "2 was there before");
    assert_eq!(stage.count("{inbox}").await, 1);
    assert_eq!(running.status().counts().dead_lettered(), 2);
    assert!(running.stop(SOON).await.is_clean());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deadlocked_handlers_are_tried_again_and_both_succeed() {
    let Some(stage) = stage().await else { return };
    stage.make_effects().await;
    stage.execute("CREATE TABLE {accounts} (n integer PRIMARY KEY, sum integer NOT NULL)").await;
    stage.execute("INSERT INTO {accounts} VALUES (0, 0), (1, 0)").await;
    let update = stage.statement("UPDATE {accounts} SET sum = sum + 1 WHERE n = $1");
    let (met, tries) = (Arc::new(tokio::sync::Barrier::new(2)), Arc::new(AtomicU32::new(0)));
    let handler = {
        let tries = tries.clone();
        move |Event(event): Event<Charged>, mut tx: Tx<PostgresStore>| {
            let (update, met, tries) = (update.clone(), met.clone(), tries.clone());
            async move {
                note(&mut tx, update.clone(), event.n).await?;
                if tries.fetch_add(1, Ordering::SeqCst) < 2 {
                    met.wait().await;
                }
                note(&mut tx, update, 1 - event.n).await
            }
        }
    };
    let client = stage.client("books");
    let consumer = stage.booking().handle_named("book", handler);
    let running = consumer.build(&client).unwrap().start().await.unwrap();
    publish(&client, (0..2).map(charged).collect()).await;
    stage.caught_up().await;
    // The victim may meet the other one again.
    assert!(tries.load(Ordering::SeqCst) >= 3, "nobody was a victim");
    assert_eq!(running.status().counts().handled(), 2);
    let sums = stage.sql("SELECT sum(sum) FROM {accounts}");
    let row = sqlx::query(sums).fetch_one(&stage.pool).await.unwrap();
    assert_eq!(sqlx::Row::get::<i64, _>(&row, 0), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_handled_events_are_forgotten_in_small_batches_once_their_window_is_over() {
    let Some(stage) = stage().await else { return };
    stage.make_effects().await;
    stage
        .execute(
            "INSERT INTO {inbox} SELECT g, 'book', n::text, 'shop', now() - age \
             FROM generate_series(1, 2500) n, \
                  (VALUES ('books', interval '8 days'), ('others', '8 days')) AS o(g, age)",
        )
        .await;
    stage
        .execute(
            "INSERT INTO {inbox} VALUES ('books', 'book', 'new', 'shop', now() - interval '6 days')",
        )
        .await;
    // Somebody reads a row of them for as long as this test: nobody waits for him.
    let mut reader = stage.pool.begin().await.unwrap();
    let locked = stage.sql("SELECT 1 FROM {inbox} WHERE event_id = '7' FOR UPDATE");
    sqlx::query(locked).fetch_all(&mut *reader).await.unwrap();
    let purged = async || stage.store.purge("books", Duration::from_secs(7 * 86_400), 1_000).await;
    let batches = [purged().await, purged().await, purged().await, purged().await];
    assert_eq!(batches.map(Result::unwrap), [1_000, 1_000, 499, 0]);
    reader.rollback().await.unwrap();
    assert_eq!(purged().await.unwrap(), 1);
    assert_eq!(stage.count("{inbox}").await, 2_501);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_purge_that_panicked_or_failed_has_left_is_purged_by_the_next_ones() {
    let Some(stage) = stage().await else { return };
    stage.make_effects().await;
    stage
        .execute(
            "INSERT INTO {inbox} \
             SELECT 'books', 'book', n::text, 'shop', now() - interval '1 day' \
             FROM generate_series(1, 2500) n",
        )
        .await;
    let purges = AtomicU32::new(0);
    let hear = Arc::new(move |step| match step {
        "purge" => match purges.fetch_add(1, Ordering::SeqCst) {
            0 => panic!("as a store's own code may"),
            1 => Err(StoreError::Database { what: "purge", source: "away".into() }),
            _ => Ok(()),
        },
        _ => Ok(()),
    });
    let outbox = Outbox::new(Heard(stage.store.clone(), hear), Source::new("shop").unwrap());
    let handler = async |_: Event<Charged>, _: Tx<Heard>| -> Result<(), HandlerError> { Ok(()) };
    let consumer = Consumer::builder("books")
        .inbox(Inbox::new(outbox).window(Duration::from_secs(2)))
        .handler_timeout(Duration::from_millis(100))
        .handle_named("book", handler)
        .topics(TopicSetup::Create { partitions: Some(1), replication: None })
        .retry(RetryPolicy::none());
    let running = consumer.build(&stage.client("books")).unwrap().start().await.unwrap();
    stage.rows("{inbox}", 0).await;
    assert!(running.stop(SOON).await.is_clean());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_does_not_come_is_found_to_be_done() {
    let Some(stage) = stage().await else { return };
    stage.make_effects().await;
    let doubtful = AtomicBool::new(true);
    let store = Heard(
        stage.store.clone(),
        Arc::new(move |step| {
            match step == "after commit" && doubtful.swap(false, Ordering::SeqCst) {
                true => {
                    Err(StoreError::Database { what: "commit", source: "no answer came".into() })
                }
                false => Ok(()),
            }
        }),
    );
    let outbox = Outbox::new(store, Source::new("shop").unwrap());
    let insert = stage.insert();
    let handler = async |Event(event): Event<Charged>,
                         mut tx: Tx<Heard>,
                         State(Insert(insert)): State<Insert>|
           -> Result<(), sqlx::Error> {
        sqlx::query(AssertSqlSafe(insert)).bind(event.n).execute(&mut *tx).await.map(drop)
    };
    let consumer = Consumer::builder("books")
        .inbox(Inbox::new(outbox))
        .state(insert)
        .handle_named("book", handler)
        .topics(TopicSetup::Create { partitions: Some(1), replication: None })
        .retry(RetryPolicy::none());
    let client = stage.client("books");
    let running = consumer.build(&client).unwrap().start().await.unwrap();
    publish(&client, vec![charged(1)]).await;
    stage.caught_up().await;
    assert_eq!(stage.effects().await, [1]);
    let counts = running.status().counts();
    assert_eq!((counts.duplicates(), counts.dead_lettered()), (1, 0));
    assert!(running.stop(SOON).await.is_clean());
}

/// On another topic.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize, tidings::IntegrationEvent)]
#[event(name = "refunded", topic = "refunds", key = key)]
struct Refunded {
    key: String,
    n: i32,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_event_id_on_two_topics_is_handled_once_on_each_by_its_handler() {
    let Some(stage) = stage().await else { return };
    stage.make_effects().await;
    let refund =
        async |Event(event): Event<Refunded>,
               mut tx: Tx<PostgresStore>,
               State(insert): State<Insert>| { note(&mut tx, insert, -event.n).await };
    let client = stage.client("books");
    let consumer = stage.booking().handle(book).handle_named("refund", refund);
    let running = consumer.build(&client).unwrap().start().await.unwrap();
    let (charged, format) = (charged(1), tidings::codec::Format::Json);
    let refunded = Refunded { key: "k1".into(), n: 1 };
    let flow = tidings::event::Flow::default();
    let source = charged.metadata.source.clone();
    let mut refunded = tidings::codec::envelope(&refunded, &source, format, &flow).unwrap();
    refunded.metadata.id = charged.metadata.id.clone();
    for _ in 0..2 {
        publish(&client, vec![charged.clone(), refunded.clone()]).await;
    }
    stage.caught_up().await;
    assert_eq!(stage.effects().await, [-1, 1]);
    let counts = running.status().counts();
    assert_eq!((counts.handled(), counts.duplicates()), (2, 2));
    assert!(running.stop(SOON).await.is_clean());
}

#[tokio::test]
async fn an_outbox_of_the_last_release_gets_its_inbox_by_migrating_and_says_so_until_then() {
    let Some(stage) = stage().await else { return };
    stage.execute("DROP TABLE {inbox}, {inbox_offsets}").await;
    stage.execute("DELETE FROM {migrations} WHERE version = 2").await;
    let early = stage.store.check().await.unwrap_err();
    assert!(early.to_string().contains("version 1, this release needs 2"), "{early}");
    stage.store.migrate().await.unwrap();
    stage.store.check().await.unwrap();
    assert_eq!(stage.count("{inbox}").await, 0);
}
