//! The inbox: whatever is delivered again, and however a handler ends, an effect is there once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sqlx::{Row, SqlitePool};
use tidings::consumer::{
    Consumer, ConsumerBuilder, Delivery, Event, HandlerError, IntegrationEventHandler, IntoOutcome,
    Needs, Outcome, RunningConsumer, State, TopicSetup, Tx,
};
use tidings::event::{Envelope, EventId, Flow, TopicName};
use tidings::publisher::Publisher;
use tidings::retry::{Backoff, RetryPolicy};
use tidings::store::sqlite::{SqliteInbox, SqliteStore};
use tidings::transport::Transport;

use crate::stage::*;
use crate::support::*;

#[derive(Debug, Clone, serde::Serialize, serde::Deserialize, tidings::IntegrationEvent)]
#[event(name = "charged", topic = "charges", key = key)]
pub struct Charged {
    pub key: String,
    pub n: u32,
}

/// What follows from it.
#[derive(Debug, serde::Serialize, serde::Deserialize, tidings::IntegrationEvent)]
#[event(name = "booked", topic = "paid", key = key)]
pub struct Booked {
    key: String,
    n: u32,
}

pub const CHARGES: TopicName = TopicName::from_static("charges");

pub fn charged(n: u32) -> Charged {
    Charged { key: format!("k{n}"), n }
}

pub async fn with_effects() -> Stage {
    let stage = stage().await;
    let table = "CREATE TABLE effects (handler TEXT NOT NULL, n INTEGER NOT NULL)";
    sqlx::query(table).execute(&stage.pool).await.unwrap();
    stage
}

pub async fn note(tx: &mut Tx<SqliteStore>, handler: &str, n: u32) -> Result<(), sqlx::Error> {
    let insert = sqlx::query("INSERT INTO effects VALUES (?, ?)").bind(handler).bind(n);
    insert.execute(&mut **tx).await.map(drop)
}

pub async fn effects(pool: &SqlitePool, handler: &str) -> Vec<u32> {
    let all = sqlx::query("SELECT n FROM effects WHERE handler = ? ORDER BY n").bind(handler);
    all.fetch_all(pool).await.unwrap().iter().map(|row| row.get(0)).collect()
}

pub fn inbox(stage: &Stage) -> SqliteInbox {
    SqliteInbox::new(stage.outbox.clone())
}

pub fn consumer(stage: &Stage) -> ConsumerBuilder {
    Consumer::builder("books")
        .inbox(inbox(stage))
        .topics(TopicSetup::Create { partitions: Some(4), replication: None })
        .retry(RetryPolicy::none().immediate(5).backoff(Backoff::fixed(Duration::from_millis(5))))
}

async fn started(stage: &Stage, consumer: ConsumerBuilder) -> RunningConsumer {
    consumer.build(&stage.client()).unwrap().start().await.unwrap()
}

/// Publishes the same event so often.
pub async fn publish(stage: &Stage, events: impl IntoIterator<Item = Charged>, times: usize) {
    let publisher = Publisher::new(&stage.client());
    for event in events {
        let copies: Vec<Envelope> = vec![envelope(&event); times];
        publisher.publish_envelopes(copies).await.unwrap();
    }
}

pub fn envelope(event: &Charged) -> Envelope {
    let source = tidings::event::Source::new("shop").unwrap();
    let format = tidings::codec::Format::Json;
    tidings::codec::envelope(event, &source, format, &Flow::default()).unwrap()
}

/// Waits until the group has read and committed everything.
pub async fn caught_up(stage: &Stage) {
    eventually("everything is committed", SOON, || stage.broker.backlog().is_empty()).await;
}

pub async fn end(running: RunningConsumer) {
    let report = running.stop(SOON).await;
    assert!(report.is_clean(), "{report:?}");
}

pub async fn book(
    Event(event): Event<Charged>,
    mut tx: Tx<SqliteStore>,
) -> Result<Booked, sqlx::Error> {
    note(&mut tx, "book", event.n).await?;
    Ok(Booked { key: event.key, n: event.n })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_is_delivered_again_has_its_effect_and_what_follows_from_it_once() {
    let stage = with_effects().await;
    let running = started(&stage, consumer(&stage).handle(book)).await;
    publish(&stage, (0..20).map(charged), 3).await;
    caught_up(&stage).await;
    assert_eq!(effects(&stage.pool, "book").await, (0..20).collect::<Vec<_>>());
    let counts = running.status().counts();
    assert_eq!((counts.handled(), counts.duplicates()), (20, 40));
    end(running).await;
    assert_eq!(stage.count("tidings_inbox").await, 20);
    assert_eq!(stage.count("tidings_outbox").await, 20);
    let relay = stage.start();
    stage.drained().await;
    stop(relay).await;
    let booked = stage.broker.records(&PAID);
    let cause = |record: &tidings::transport::Received| {
        record.headers.get_str("ce_causationid").map(str::to_owned)
    };
    assert_eq!(booked.len(), 20);
    assert!(booked.iter().all(|record| cause(record).is_some()), "they know their cause");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whichever_way_a_handler_fails_nothing_of_it_is_left_and_its_next_try_is_the_only_one() {
    let stage = with_effects().await;
    let tries = Arc::new(AtomicU32::new(0));
    let handler = async |Event(event): Event<Charged>,
                         mut tx: Tx<SqliteStore>,
                         State(tries): State<Arc<AtomicU32>>|
           -> Result<Booked, HandlerError> {
        note(&mut tx, "book", event.n).await?;
        match tries.fetch_add(1, Ordering::SeqCst) {
            0 => Err(HandlerError::transient("no")),
            1 => panic!("in the middle of it"),
            2 => std::future::pending().await,
            3 => {
                drop(tx);
                Err(HandlerError::transient("no"))
            }
            _ => Ok(Booked { key: event.key, n: event.n }),
        }
    };
    let consumer = consumer(&stage)
        .handle_named("book", handler)
        .state(tries.clone())
        .handler_timeout(Duration::from_millis(300));
    let running = started(&stage, consumer).await;
    publish(&stage, [charged(7)], 1).await;
    caught_up(&stage).await;
    assert_eq!(tries.load(Ordering::SeqCst), 5);
    assert_eq!(effects(&stage.pool, "book").await, [7]);
    assert_eq!(stage.count("tidings_inbox").await, 1);
    assert_eq!(stage.count("tidings_outbox").await, 1);
    end(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_handlers_only_the_one_that_has_not_succeeded_runs_for_a_redelivery() {
    let stage = with_effects().await;
    let tries = Arc::new(AtomicU32::new(0));
    let mail = async |Event(event): Event<Charged>,
                      mut tx: Tx<SqliteStore>,
                      State(tries): State<Arc<AtomicU32>>|
           -> Result<(), HandlerError> {
        if tries.fetch_add(1, Ordering::SeqCst) == 0 {
            return Err(HandlerError::permanent("not this time"));
        }
        Ok(note(&mut tx, "mail", event.n).await?)
    };
    let consumer = consumer(&stage).handle(book).handle_named("mail", mail).state(tries.clone());
    let running = started(&stage, consumer).await;
    let event = envelope(&charged(1));
    let publisher = Publisher::new(&stage.client());
    for _ in 0..2 {
        publisher.publish_envelopes(vec![event.clone()]).await.unwrap();
        caught_up(&stage).await;
    }
    assert_eq!(effects(&stage.pool, "book").await, [1]);
    assert_eq!(effects(&stage.pool, "mail").await, [1]);
    let counts = running.status().counts();
    assert_eq!((counts.handled(), counts.duplicates(), counts.dead_lettered()), (2, 1, 1));
    end(running).await;
}

/// A type that handles events in a transaction.
struct Ledger;

impl IntegrationEventHandler<Charged> for Ledger {
    async fn handle(
        &self,
        event: Charged,
        delivery: &Delivery,
    ) -> Result<impl IntoOutcome, HandlerError> {
        let mut tx = delivery.tx::<SqliteStore>()?;
        assert!(delivery.tx::<SqliteStore>().is_err(), "there is one");
        note(&mut tx, "ledger", event.n).await?;
        drop(tx);
        note(&mut delivery.tx()?, "again", event.n).await?;
        match event.n {
            1 => Ok(Outcome::Drop { reason: "enough".into() }),
            2 => Ok(Outcome::Retry { reason: "later".into() }),
            _ => Ok(Outcome::Ack),
        }
    }

    fn needs(needs: &mut Needs) {
        needs.tx::<SqliteStore>();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_type_takes_the_transaction_from_its_delivery_and_a_drop_commits_what_a_retry_takes_back()
{
    let stage = with_effects().await;
    let consumer = consumer(&stage).handle(Ledger).retry(RetryPolicy::none());
    let running = started(&stage, consumer).await;
    publish(&stage, (0..3).map(charged), 2).await;
    caught_up(&stage).await;
    assert_eq!(effects(&stage.pool, "ledger").await, [0, 1]);
    assert_eq!(effects(&stage.pool, "again").await, [0, 1]);
    let counts = running.status().counts();
    assert_eq!((counts.handled(), counts.dropped(), counts.duplicates()), (1, 1, 2));
    assert_eq!(counts.dead_lettered(), 2, "the retries of the third have run out, each time");
    end(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_a_task_keeps_or_that_the_handler_has_ended_is_not_a_success() {
    let stage = with_effects().await;
    let kept =
        async |Event(event): Event<Charged>, mut tx: Tx<SqliteStore>| -> Result<(), HandlerError> {
            note(&mut tx, "kept", event.n).await?;
            if event.n == 0 {
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    drop(tx);
                });
            } else if event.n == 1 {
                sqlx::query("ROLLBACK").execute(&mut *tx).await?;
            } else {
                sqlx::query("COMMIT").execute(&mut *tx).await?;
            }
            Ok(())
        };
    let consumer = consumer(&stage).handle_named("kept", kept);
    let running = started(&stage, consumer).await;
    publish(&stage, (0..3).map(charged), 1).await;
    caught_up(&stage).await;
    let counts = running.status().counts();
    assert_eq!((counts.handled(), counts.dead_lettered()), (0, 3));
    assert_eq!(effects(&stage.pool, "kept").await, [2]);
    assert_eq!(stage.count("tidings_inbox").await, 1);
    let dead = stage.broker.records(&TopicName::from_static("charges.dlq"));
    let why: Vec<_> = dead.iter().filter_map(|r| r.headers.get_str("x-error-message")).collect();
    assert!(why.iter().any(|why| why.contains("still has its `Tx`")), "{why:?}");
    assert!(why.iter().any(|why| why.contains("had ended it")), "{why:?}");
    assert!(why.iter().any(|why| why.contains("has committed its transaction itself")), "{why:?}");
    end(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handled_events_are_forgotten_while_the_consumer_runs_and_no_sooner() {
    let stage = with_effects().await;
    let short = inbox(&stage).window(Duration::from_millis(1_500));
    let consumer = consumer(&stage)
        .inbox(short)
        .handle(book)
        .retry(RetryPolicy::none())
        // An attempt may take three times that.
        .handler_timeout(Duration::from_millis(500));
    let running = started(&stage, consumer).await;
    sqlx::query("ALTER TABLE tidings_inbox RENAME TO away").execute(&stage.pool).await.unwrap();
    tokio::time::sleep(Duration::from_millis(400)).await;
    sqlx::query("ALTER TABLE away RENAME TO tidings_inbox").execute(&stage.pool).await.unwrap();
    let others = "INSERT INTO tidings_inbox VALUES ('others', 'book', '1', 'shop', 0)";
    sqlx::query(others).execute(&stage.pool).await.unwrap();
    publish(&stage, (0..50).map(charged), 1).await;
    caught_up(&stage).await;
    publish(&stage, [charged(50)], 2).await;
    caught_up(&stage).await;
    assert_eq!(running.status().counts().duplicates(), 1);
    let deadline = tokio::time::Instant::now() + SOON;
    while stage.count("tidings_inbox").await > 1 {
        assert!(tokio::time::Instant::now() < deadline, "the inbox is not purged");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(effects(&stage.pool, "book").await.len(), 51);
    let other = "SELECT count(*) FROM tidings_inbox WHERE consumer_group = 'others'";
    let others: i64 = sqlx::query(other).fetch_one(&stage.pool).await.unwrap().get(0);
    assert_eq!(others, 1, "another group's are its own");
    end(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_one_id_from_two_sources_and_records_without_any_are_told_apart() {
    let stage = with_effects().await;
    let running = started(&stage, consumer(&stage).handle(book)).await;
    let client = stage.client();
    let publisher = Publisher::new(&client);
    for (n, source) in [(1, "shop"), (2, "bank"), (1, "shop")] {
        let mut envelope = envelope(&charged(n));
        envelope.metadata.id = EventId::parse("1").unwrap();
        envelope.metadata.source = tidings::event::Source::new(source).unwrap();
        publisher.publish_envelopes(vec![envelope]).await.unwrap();
    }
    for n in [3, 4] {
        let record = tidings::transport::Record {
            topic: CHARGES,
            partition: Some(0),
            key: None,
            payload: Some(serde_json::to_vec(&charged(n)).unwrap().into()),
            headers: Default::default(),
            timestamp: None,
        };
        let counts = Arc::new(tidings::transport::DeliveryCounts::default());
        let receipt = tidings::transport::Receipt::counted(None, counts);
        assert!(client.producer().enqueue(&record, receipt).is_ok());
    }
    eventually("all are handled", SOON, || running.status().counts().handled() == 4).await;
    caught_up(&stage).await;
    assert_eq!(effects(&stage.pool, "book").await, [1, 2, 3, 4]);
    assert_eq!(running.status().counts().duplicates(), 1);
    end(running).await;
}
