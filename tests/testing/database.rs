//! The database in memory: transactions beside each other, delayed events, faults; and a relay on it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use tidings::event::IntegrationEvent;
use tidings::outbox::{Outbox, Relay};
use tidings::store::{
    Backlog, Fetched, Hint, Holding, OrderKey, OutboxSession, OutboxStore, ParkedEvent, RowId,
    Shard, StoreError, Transactions,
};
use tidings::testing::MemoryDatabase;
use tidings::testing::database::{DatabaseFault, MemoryStore};
use tidings::transport::Transport;
use tidings::transport::memory::{Fault, Memory, MemoryBroker, TopicConfig};
use tokio::time::sleep;

use crate::stage::*;

struct Desk {
    broker: MemoryBroker,
    database: MemoryDatabase,
    client: Memory,
    store: MemoryStore,
    outbox: Outbox<MemoryStore>,
}

fn desk() -> Desk {
    let (broker, database) = (MemoryBroker::new(), MemoryDatabase::new());
    let client = broker.client("desk").unwrap();
    let store = database.store();
    let outbox = Outbox::new(store.clone(), client.service().clone());
    Desk { broker, database, client, store, outbox }
}

impl Desk {
    /// What is published, by offset.
    fn published(&self) -> Vec<u32> {
        let records = self.broker.records(&paid("").topic());
        let cents = |payload: &[u8]| serde_json::from_slice::<Paid>(payload).unwrap().cents;
        records.iter().map(|record| cents(record.payload.as_deref().unwrap())).collect()
    }
}

fn of_one_key(cents: u32) -> Paid {
    Paid { order: "7".into(), cents }
}

#[tokio::test(start_paused = true)]
async fn a_transaction_sees_its_own_writes_and_others_see_them_once_it_commits() {
    let Desk { database, store, .. } = desk();
    let (mut one, mut two) = (store.open().await.unwrap(), store.open().await.unwrap());
    one.put("a", "1").await.unwrap();
    assert_eq!(one.get("a").await.unwrap().as_deref(), Some("1"));
    assert_eq!((two.get("a").await.unwrap(), database.get("a")), (None, None));
    store.commit(one).await.unwrap();
    assert_eq!(two.get("a").await.unwrap().as_deref(), Some("1"));
    two.put("a", "2").await.unwrap();
    drop(two);
    assert_eq!(database.get("a").as_deref(), Some("1"));
}

#[tokio::test(start_paused = true)]
async fn who_writes_a_row_holds_it_and_others_wait_but_not_for_ever() {
    let Desk { store, .. } = desk();
    let mut one = store.open().await.unwrap();
    one.put("a", "1").await.unwrap();
    let other = |value: &'static str| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut two = store.open().await?;
            two.put("a", value).await?;
            store.commit(two).await
        })
    };
    let waits = other("2");
    sleep(secs(1)).await;
    assert!(!waits.is_finished());
    store.commit(one).await.unwrap();
    waits.await.unwrap().unwrap();
    let mut one = store.open().await.unwrap();
    one.put("a", "3").await.unwrap();
    assert!(matches!(other("4").await.unwrap(), Err(StoreError::Conflict { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_late_commit_of_a_lower_number_is_published_too() {
    let desk = desk();
    let relay = Relay::builder(desk.store.clone()).build(&desk.client).unwrap().start();
    let (mut late, mut soon) = (desk.store.open().await.unwrap(), desk.store.open().await.unwrap());
    desk.outbox.add(&mut late, paid("late")).await.unwrap();
    desk.outbox.add(&mut soon, paid("soon")).await.unwrap();
    desk.store.commit(soon).await.unwrap();
    desk.database.settled().await;
    assert_eq!(desk.published().len(), 1);
    desk.store.commit(late).await.unwrap();
    desk.database.settled().await;
    assert_eq!(desk.published().len(), 2);
    assert!(relay.stop(secs(5)).await.is_clean());
}

#[tokio::test(start_paused = true)]
async fn delayed_events_are_published_at_their_time_and_no_time_passes_for_us() {
    let desk = desk();
    let _relay = Relay::builder(desk.store.clone()).build(&desk.client).unwrap().start();
    let mut transaction = desk.store.open().await.unwrap();
    for (cents, minutes) in [(3, 20), (1, 0), (2, 10)] {
        let at = desk.database.now() + TimeDelta::minutes(minutes);
        desk.outbox.add_later(&mut transaction, of_one_key(cents), at).await.unwrap();
    }
    desk.store.commit(transaction).await.unwrap();
    let real = std::time::Instant::now();
    sleep(secs(5 * 60)).await;
    assert_eq!(desk.published(), [1]);
    let Backlog { rows, delayed, .. } = desk.database.backlog();
    assert_eq!((rows, delayed), (0, 2));
    desk.database.settled().await;
    assert_eq!(desk.published(), [1, 2, 3]);
    assert!(real.elapsed() < secs(60), "{:?}", real.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_commit_whose_answer_is_lost_was_committed_or_not() {
    for committed in [false, true] {
        let Desk { database, store, .. } = desk();
        let mut transaction = store.open().await.unwrap();
        transaction.put("a", "1").await.unwrap();
        database.inject(DatabaseFault::AnswerLost { committed });
        let error = store.commit(transaction).await.unwrap_err();
        assert!(matches!(error, StoreError::Database { .. }), "{error}");
        assert_eq!(database.get("a").is_some(), committed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_database_that_goes_away_takes_back_what_is_open_and_comes_back() {
    let Desk { database, store, .. } = desk();
    let mut open = store.open().await.unwrap();
    open.put("a", "1").await.unwrap();
    database.inject(DatabaseFault::Away(secs(3)));
    assert!(store.open().await.is_err());
    sleep(secs(4)).await;
    assert!(open.get("a").await.is_err(), "its connection is gone");
    assert!(store.commit(open).await.is_err());
    let mut next = store.open().await.unwrap();
    database.inject(DatabaseFault::Conflict);
    assert!(matches!(next.get("a").await, Err(StoreError::Conflict { .. })));
    assert!(matches!(next.put("a", "2").await, Err(StoreError::Refused { .. })), "it is spoilt");
    assert_eq!(database.get("a"), None);
}

#[tokio::test(start_paused = true)]
async fn relays_share_the_work_keep_each_key_in_order_and_take_over_when_one_dies() {
    let desk = desk();
    let lease = |name: &str| {
        let relay = Relay::builder(desk.store.clone()).name(name).lease(secs(2)).batch(3);
        relay.build(&desk.client).unwrap().start()
    };
    let (one, two) = (lease("one"), lease("two"));
    sleep(secs(5)).await;
    let owners = desk.database.backlog().owners;
    assert_eq!(owners.iter().map(|owner| owner.shards).collect::<Vec<_>>(), [32, 32]);
    drop(one);
    for cents in 0..20 {
        let mut transaction = desk.store.open().await.unwrap();
        desk.outbox.add(&mut transaction, of_one_key(cents)).await.unwrap();
        desk.store.commit(transaction).await.unwrap();
    }
    desk.database.settled().await;
    let mut published = desk.published();
    published.dedup();
    assert_eq!(published, (0..20).collect::<Vec<_>>());
    assert!(two.stop(secs(5)).await.is_clean());
}

/// What is seen of a store, and done to it.
#[derive(Default)]
struct Seen {
    /// How often leases were asked for.
    renewed: AtomicUsize,
    /// What is asked now is never answered.
    hangs: AtomicBool,
    /// Released right before the next event is parked.
    put_back: Mutex<Option<(MemoryStore, RowId)>>,
}

impl Seen {
    async fn answers(&self) {
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending().await
        }
    }
}

struct Watched(MemoryStore, Arc<Seen>);

struct WatchedSession(Box<dyn OutboxSession>, Arc<Seen>);

#[async_trait]
impl OutboxStore for Watched {
    async fn begin(&self, relay: &str) -> Result<Box<dyn OutboxSession>, StoreError> {
        Ok(Box::new(WatchedSession(self.0.begin(relay).await?, self.1.clone())))
    }

    async fn backlog(&self) -> Result<Backlog, StoreError> {
        self.0.backlog().await
    }

    async fn parked(&self, limit: usize) -> Result<Vec<ParkedEvent>, StoreError> {
        self.0.parked(limit).await
    }

    async fn release(&self, row: RowId) -> Result<bool, StoreError> {
        self.0.release(row).await
    }

    async fn discard(&self, row: RowId) -> Result<bool, StoreError> {
        self.0.discard(row).await
    }
}

#[async_trait]
impl OutboxSession for WatchedSession {
    async fn renew(&self, lease: Duration) -> Result<Holding, StoreError> {
        // A call takes its time, so that one that is made again and again lets time pass.
        sleep(Duration::from_millis(1)).await;
        self.1.renewed.fetch_add(1, Ordering::SeqCst);
        self.1.answers().await;
        self.0.renew(lease).await
    }

    async fn give_up(&self, shards: &[Shard]) -> Result<(), StoreError> {
        self.0.give_up(shards).await
    }

    async fn leave(&self) -> Result<(), StoreError> {
        self.0.leave().await
    }

    async fn parked_keys(&self, shards: &[Shard]) -> Result<Vec<OrderKey>, StoreError> {
        self.0.parked_keys(shards).await
    }

    async fn fetch(
        &self,
        shards: &[Shard],
        known: &[RowId],
        limit: usize,
    ) -> Result<Fetched, StoreError> {
        self.1.answers().await;
        self.0.fetch(shards, known, limit).await
    }

    async fn published(
        &self,
        rows: &[(RowId, Shard)],
        keep: Duration,
    ) -> Result<Vec<Shard>, StoreError> {
        self.1.answers().await;
        self.0.published(rows, keep).await
    }

    async fn park(
        &self,
        shard: Shard,
        failed: Option<(RowId, &str)>,
        behind: &[RowId],
    ) -> Result<bool, StoreError> {
        sleep(Duration::from_millis(1)).await;
        let put_back = self.1.put_back.lock().unwrap().take();
        if let Some((store, row)) = put_back {
            assert!(store.release(row).await.unwrap());
        }
        self.0.park(shard, failed, behind).await
    }

    async fn due(&self, shards: &[Shard], limit: usize) -> Result<(), StoreError> {
        self.0.due(shards, limit).await
    }

    async fn tidy(&self, limit: usize) -> Result<usize, StoreError> {
        self.0.tidy(limit).await
    }

    async fn hint(&self) -> Hint {
        self.0.hint().await
    }
}

/// A relay that learnt so from the database tried to park again before it asked what was put back, was
/// refused again, and did so for ever.
#[tokio::test(start_paused = true)]
async fn a_relay_that_parks_an_event_while_another_one_of_its_shard_is_released_goes_on() {
    let desk = desk();
    let mut config = TopicConfig::default();
    config.max_record = 1;
    desk.broker.create_topic(paid("").topic(), config);
    let seen = Arc::new(Seen::default());
    let store = Watched(desk.store.clone(), seen.clone());
    let relay = Relay::builder(store).park_after(1).build(&desk.client).unwrap().start();
    let append = async |event: Paid| {
        let mut transaction = desk.store.open().await.unwrap();
        desk.outbox.add(&mut transaction, event).await.unwrap();
        desk.store.commit(transaction).await.unwrap();
        sleep(secs(5)).await;
    };
    let shard = |event: &Paid| {
        let key = event.partition_key().unwrap().unwrap();
        let id = tidings::event::EventId::parse("any").unwrap();
        Shard::of(event.topic().as_str(), Some(key.as_str().as_bytes()), &id)
    };
    let first = of_one_key(1);
    let other = (0..).map(|n| Paid { order: format!("other {n}"), cents: 2 });
    let other = other.into_iter().find(|other| shard(other) == shard(&first)).unwrap();
    append(first).await;
    let parked = desk.store.parked(10).await.unwrap();
    assert_eq!(parked.len(), 1);
    *seen.put_back.lock().unwrap() = Some((desk.store.clone(), parked[0].row));
    append(other).await;
    assert_eq!(desk.store.parked(10).await.unwrap().len(), 2, "both are refused for good");
    assert!(relay.stop(secs(5)).await.is_clean());
}

/// A relay that was stopping heard of the shards that it gave up, took them again, and gave them up
/// again, as fast as the database could, for as long as a row of it waited for the broker.
#[tokio::test(start_paused = true)]
async fn a_relay_that_stops_while_the_broker_is_away_does_not_take_again_what_it_gives_up() {
    let desk = desk();
    let seen = Arc::new(Seen::default());
    let store = Watched(desk.store.clone(), seen.clone());
    let relay = Relay::builder(store).lease(secs(4)).build(&desk.client).unwrap().start();
    sleep(secs(1)).await;
    desk.broker.inject(Fault::BrokerGone(secs(60)));
    let mut transaction = desk.store.open().await.unwrap();
    desk.outbox.add(&mut transaction, of_one_key(1)).await.unwrap();
    desk.store.commit(transaction).await.unwrap();
    sleep(secs(1)).await;
    assert_eq!(desk.broker.backlog().queued, 1);
    let before = seen.renewed.load(Ordering::SeqCst);
    let report = relay.stop(secs(8)).await;
    assert_eq!(report.unmarked, 1);
    // Every quarter of a lease.
    let renewed = seen.renewed.load(Ordering::SeqCst) - before;
    assert!((4..=12).contains(&renewed), "{renewed} times in 8 s");
}

/// A connection that is dead and that nobody has told of it answers nothing, for many minutes.
#[tokio::test(start_paused = true)]
async fn a_relay_goes_on_a_lease_after_its_database_answered_nothing() {
    let desk = desk();
    let seen = Arc::new(Seen::default());
    let store = Watched(desk.store.clone(), seen.clone());
    let relay = Relay::builder(store).lease(secs(4)).build(&desk.client).unwrap().start();
    sleep(secs(2)).await;
    seen.hangs.store(true, Ordering::SeqCst);
    let mut transaction = desk.store.open().await.unwrap();
    desk.outbox.add(&mut transaction, of_one_key(1)).await.unwrap();
    desk.store.commit(transaction).await.unwrap();
    sleep(secs(60)).await;
    assert!(desk.published().is_empty());
    let problems = relay.status().problems().join("; ");
    assert!(problems.contains("nothing came within 4s"), "{problems}");
    seen.hangs.store(false, Ordering::SeqCst);
    sleep(secs(5)).await;
    assert_eq!(desk.published(), [1]);
    assert!(relay.stop(secs(5)).await.is_clean());
}
