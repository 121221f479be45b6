//! Offsets that are stored with what handlers write: where a group goes on that the broker has forgotten.

use std::sync::Arc;
use std::time::Duration;

use sqlx::Row;
use tidings::consumer::{Event, HandlerError, RunningConsumer, State};
use tidings::publisher::Publisher;
use tidings::transport::memory::{MemoryBroker, MemoryConfig, OffsetReset};
use tokio::sync::Semaphore;

use crate::inbox::*;
use crate::stage::*;
use crate::support::*;

const EVENTS: u32 = 60;

/// A consumer of this stage's database, on another broker than the stage's.
async fn start_on(stage: &Stage, broker: &MemoryBroker, reset: OffsetReset) -> RunningConsumer {
    let client = broker.connect(MemoryConfig::new("books").offset_reset(reset)).unwrap();
    let consumer = consumer(stage).inbox(inbox(stage).offsets_in_database()).handle(book);
    consumer.build(&client).unwrap().start().await.unwrap()
}

async fn publish_on(broker: &MemoryBroker, events: &[tidings::event::Envelope]) {
    let client = broker.client("shop").unwrap();
    for event in events {
        Publisher::new(&client).publish_envelopes(vec![event.clone()]).await.unwrap();
    }
}

/// The offsets that are stored, of all partitions together.
async fn stored(stage: &Stage) -> i64 {
    let sum = "SELECT coalesce(sum(next), 0) FROM tidings_inbox_offsets";
    sqlx::query(sum).fetch_one(&stage.pool).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_whose_offsets_the_broker_has_lost_goes_on_where_it_was_and_nothing_comes_twice() {
    for reset in [OffsetReset::Earliest, OffsetReset::Latest] {
        let stage = with_effects().await;
        let events: Vec<_> = (0..EVENTS + 20).map(|n| envelope(&charged(n))).collect();
        let (before, after) = events.split_at(EVENTS as usize);
        let first = MemoryBroker::new();
        let running = start_on(&stage, &first, OffsetReset::Earliest).await;
        publish_on(&first, before).await;
        eventually("all are handled", SOON, || {
            running.status().counts().handled() == u64::from(EVENTS)
        })
        .await;
        end(running).await;
        assert_eq!(stored(&stage).await, i64::from(EVENTS));

        // The same log on a broker that knows nothing of the group, and some that it has not seen.
        let second = MemoryBroker::new();
        second.create_topic(CHARGES, topics_of_four());
        publish_on(&second, before).await;
        publish_on(&second, after).await;
        let running = start_on(&stage, &second, reset).await;
        eventually("the others are handled", SOON, || running.status().counts().handled() == 20)
            .await;
        eventually("all is committed", SOON, || second.backlog().lag.is_empty()).await;
        assert_eq!(running.status().counts().duplicates(), 0, "{reset:?}");
        assert_eq!(effects(&stage.pool, "book").await.len() as u32, EVENTS + 20);
        end(running).await;
    }
}

async fn waits(
    Event(event): Event<Charged>,
    State(gate): State<Arc<Semaphore>>,
) -> Result<(), HandlerError> {
    if event.n == 0 {
        gate.acquire().await?.forget();
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_stored_never_passes_an_event_that_is_not_done_by_all_of_its_handlers() {
    let stage = with_effects().await;
    let gate = Arc::new(Semaphore::new(0));
    let consumer = consumer(&stage)
        .inbox(inbox(&stage).offsets_in_database())
        .handle(book)
        .handle(waits)
        .state(gate.clone())
        .topics(tidings::consumer::TopicSetup::Create { partitions: Some(1), replication: None });
    let running = consumer.build(&stage.client()).unwrap().start().await.unwrap();
    publish(&stage, (0..30).map(charged), 1).await;
    // All are booked, and the other handler of the first one waits.
    let counts = || running.status().counts().handled();
    eventually("the others are handled", SOON, || counts() == 59).await;
    assert_eq!(effects(&stage.pool, "book").await.len(), 30);
    assert_eq!(stored(&stage).await, 0);
    gate.add_permits(1);
    caught_up(&stage).await;
    publish(&stage, [charged(30)], 1).await;
    caught_up(&stage).await;
    end(running).await;
    assert_eq!(stored(&stage).await, 31);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_it_is_not_known_where_a_group_stands_nothing_is_read() {
    let stage = with_effects().await;
    let away = "ALTER TABLE tidings_inbox_offsets RENAME TO away";
    sqlx::query(away).execute(&stage.pool).await.unwrap();
    let broker = MemoryBroker::new();
    broker.create_topic(CHARGES, topics_of_four());
    publish_on(&broker, &[envelope(&charged(1))]).await;
    let running = start_on(&stage, &broker, OffsetReset::Earliest).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(running.status().partitions(), 0);
    let back = "ALTER TABLE away RENAME TO tidings_inbox_offsets";
    sqlx::query(back).execute(&stage.pool).await.unwrap();
    eventually("it is handled", SOON, || running.status().counts().handled() == 1).await;
    end(running).await;
}

fn topics_of_four() -> tidings::transport::memory::TopicConfig {
    let mut topic = tidings::transport::memory::TopicConfig::default();
    topic.partitions = 4;
    topic
}
