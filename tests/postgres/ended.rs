//! Handlers whose transaction ends otherwise than by the consumer: by time, or by themselves.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use sqlx::Connection;
use tidings::consumer::{Event, HandlerError, State, Tx};
use tidings::event::TopicName;
use tidings::store::postgres::PostgresStore;

use crate::inbox_stage::*;
use crate::stage::*;
use crate::support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_outlasts_its_handler_is_ended_and_its_event_is_soon_a_dead_letter() {
    let Some(stage) = stage().await else { return };
    stage.make_effects().await;
    let tries = Arc::new(AtomicU32::new(0));
    let handler = {
        let tries = tries.clone();
        move |Event(event): Event<Charged>,
              mut tx: Tx<PostgresStore>,
              State(insert): State<Insert>| {
            let tries = tries.clone();
            async move {
                note(&mut tx, insert, event.n).await?;
                if event.n == 0 {
                    tries.fetch_add(1, Ordering::SeqCst);
                    sqlx::query("SELECT pg_sleep(30)").execute(&mut *tx).await?;
                }
                Ok::<_, HandlerError>(())
            }
        }
    };
    let client = stage.client("books");
    let consumer = stage.booking().handler_timeout(Duration::from_millis(200));
    let consumer = consumer.handle_named("book", handler);
    let running = consumer.build(&client).unwrap().start().await.unwrap();
    let begun = Instant::now();
    publish(&client, (0..3).map(charged).collect()).await;
    stage.caught_up().await;
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    assert_eq!(tries.load(Ordering::SeqCst), 4);
    assert_eq!(stage.effects().await, [1, 2]);
    assert_eq!(running.status().counts().dead_lettered(), 1);
    assert!(running.stop(SOON).await.is_clean());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_bounds_a_handlers_statements_more_tightly_is_left_and_ends_with_its_transaction() {
    let Some(stage) = stage().await else { return };
    let claim = |event| tidings::store::Claim { group: "g", handler: "h", source: "s", event };
    let bound = async |connection: &mut sqlx::PgConnection| -> String {
        let shown = sqlx::query("SHOW statement_timeout").fetch_one(connection).await.unwrap();
        sqlx::Row::get(&shown, 0)
    };
    let (minute, mut connection) = (Duration::from_secs(60), stage.pool.acquire().await.unwrap());
    for (set, event, expected) in [("0", "1", "1min"), ("5s", "2", "5s"), ("1h", "3", "1min")] {
        let set = sqlx::AssertSqlSafe(format!("SET statement_timeout = '{set}'"));
        sqlx::query(set).execute(&mut *connection).await.unwrap();
        let before = bound(&mut connection).await;
        let mut transaction = connection.begin().await.unwrap();
        use tidings::store::InboxTables as _;
        assert!(stage.store.claim(&mut transaction, &claim(event), minute).await.unwrap());
        assert_eq!(bound(&mut transaction).await, expected);
        transaction.commit().await.unwrap();
        assert_eq!(bound(&mut connection).await, before);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_commits_its_transaction_itself_is_a_dead_letter_that_says_so() {
    let Some(stage) = stage().await else { return };
    stage.make_effects().await;
    let handler = |Event(event): Event<Charged>,
                   mut tx: Tx<PostgresStore>,
                   State(insert): State<Insert>| async move {
        note(&mut tx, insert.clone(), event.n).await?;
        let ends: &[&'static str] = match event.n {
            0 => &["COMMIT"],
            1 => &["COMMIT", "BEGIN"],
            2 => &["COMMIT AND CHAIN"],
            _ => {
                // Savepoints are its own business.
                let mut nested = tx.begin().await?;
                sqlx::query("SELECT pg_current_xact_id()").execute(&mut *nested).await?;
                nested.commit().await?;
                &[]
            }
        };
        for end in ends {
            sqlx::query(*end).execute(&mut *tx).await?;
        }
        if event.n == 1 {
            note(&mut tx, insert, 100).await?;
        }
        Ok::<_, HandlerError>(Booked { key: event.key, n: event.n })
    };
    let client = stage.client("books");
    let consumer = stage.booking().handle_named("book", handler);
    let running = consumer.build(&client).unwrap().start().await.unwrap();
    publish(&client, (0..4).map(charged).collect()).await;
    stage.caught_up().await;
    assert_eq!(running.status().counts().dead_lettered(), 3, "each at its first try");
    assert_eq!(stage.effects().await, [0, 1, 2, 3], "what came after the COMMIT is taken back");
    assert_eq!(stage.count("{outbox}").await, 1, "the last one's");
    let dead = stage.broker.records(&TopicName::from_static("charges.dlq"));
    for letter in dead {
        let why = letter.headers.get_str("x-error-message").unwrap();
        assert!(why.contains("committed its transaction itself"), "{why}");
    }
    assert!(running.stop(SOON).await.is_clean());
}
