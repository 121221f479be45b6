//! Coming from Wolverine: its typical code, and the same here.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidings::IntegrationEvent;
use tidings::testing::{Fixture, TestKit};
use tidings::transport::Transport;

// ANCHOR: handler
use tidings::consumer::{Event, State};

/// The message is a contract: it knows its topic and its key.
#[derive(Debug, Serialize, Deserialize, IntegrationEvent)]
#[event(key = order, topic = "orders")]
#[serde(rename_all = "camelCase")] // as the serializer of the other side writes them
pub struct OrderPlaced {
    pub order: String,
    pub item_code: String,
}

#[derive(Debug, Serialize, Deserialize, IntegrationEvent)]
#[event(key = order, topic = "stock")]
pub struct StockReserved {
    pub order: String,
}

/// `public static Task<StockReserved> Handle(OrderPlaced placed, Stock stock)`
pub async fn reserve(
    Event(placed): Event<OrderPlaced>,
    State(stock): State<Stock>,
) -> Result<StockReserved, StockError> {
    stock.take(&placed.item_code)?;
    Ok(StockReserved { order: placed.order }) // cascades
}
// ANCHOR_END: handler

#[derive(Debug, thiserror::Error)]
pub enum StockError {
    #[error("it is sold out")]
    SoldOut,
    #[error("somebody else holds it")]
    Held,
    #[error("the warehouse does not answer")]
    Away,
}

/// What is there, and was not taken yet.
#[derive(Clone, Default)]
pub struct Stock(Arc<Mutex<BTreeSet<String>>>);

impl Stock {
    fn take(&self, item: &str) -> Result<(), StockError> {
        match self.0.lock().unwrap().remove(item) {
            true => Ok(()),
            false if item == "held" => Err(StockError::Held),
            false => Err(StockError::SoldOut),
        }
    }
}

// ANCHOR: listen
use tidings::consumer::{BuildError, Consumer, FailureKind, TopicSetup};
use tidings::retry::{Backoff, RetryPolicy};

pub fn warehouse<T: Transport + Clone>(
    stock: Stock,
    transport: &T,
) -> Result<Consumer, BuildError> {
    let tiers = [30, 300].map(Duration::from_secs); // MoveToKafkaRetryTopic(30.Seconds(), 5.Minutes())
    let cooldown = Backoff::exponential(Duration::from_millis(50)); // RetryWithCooldown(50, 100, 200)
    Consumer::builder("warehouse") // config.GroupId
        .handle(reserve) // ListenToKafkaTopic("orders")
        .state(stock)
        .classify(|error: &StockError| match error {
            StockError::SoldOut => FailureKind::Permanent, // MoveToErrorQueue()
            StockError::Held => FailureKind::Transient,    // the retries below
            StockError::Away => FailureKind::Outage,       // PauseProcessing, until it answers
        })
        .retry(RetryPolicy::tiers(tiers).immediate(3).backoff(cooldown))
        .topics(TopicSetup::Create { partitions: None, replication: None }) // AutoProvision()
        .build(transport)
}
// ANCHOR_END: listen

// ANCHOR: batch
use tidings::consumer::HandlerError;
use tidings::worker::{Item, Worker};

/// `Handle(StockReserved[] reserved)`, with `BatchMessagesOf<StockReserved>(..)`
pub async fn tally(reserved: Vec<Item<Event<StockReserved>>>) -> Vec<Result<(), HandlerError>> {
    println!("{} at once", reserved.len());
    reserved.iter().map(|_| Ok(())).collect() // each item has an outcome of its own
}

pub fn tallying<T: Transport + Clone>(transport: &T) -> Result<Worker, BuildError> {
    Worker::builder("tallying")
        .process_batch(500, Duration::from_secs(1), tally) // BatchSize, TriggerTime
        .build(transport)
}
// ANCHOR_END: batch

// ANCHOR: publish
use tidings::publisher::{PublishError, Publisher};

/// `await bus.PublishAsync(placed)`: but the broker has it when this returns.
pub async fn place(publisher: &Publisher, placed: OrderPlaced) -> Result<(), PublishError> {
    publisher.publish(placed).await?;
    Ok(())
}
// ANCHOR_END: publish

#[cfg(feature = "sqlite")]
pub mod durable {
    use tidings::IntegrationEvent;
    use tidings::consumer::{Consumer, ConsumerBuilder, Event, HandlerError, State};
    use tidings::store::sqlite::{SqliteInbox, SqliteOutbox, SqliteStore};

    use super::{OrderPlaced, StockReserved};

    #[derive(Debug, serde::Serialize, serde::Deserialize, IntegrationEvent)]
    #[event(key = order, topic = "payments")]
    pub struct PaymentDue {
        pub order: String,
    }

    // ANCHOR: durable
    use chrono::{TimeDelta, Utc};
    use tidings::consumer::Tx;

    /// `[Transactional]`: its rows, what it schedules and what cascades are committed together.
    pub async fn bill(
        Event(placed): Event<OrderPlaced>,
        mut tx: Tx<SqliteStore>,
        State(outbox): State<SqliteOutbox>,
    ) -> Result<StockReserved, HandlerError> {
        sqlx::query("INSERT INTO bills VALUES ($1)").bind(&placed.order).execute(&mut *tx).await?;
        let due = PaymentDue { order: placed.order.clone() };
        outbox.add_later(&mut tx, due, Utc::now() + TimeDelta::days(10)).await?; // ScheduleAsync
        Ok(StockReserved { order: placed.order }) // UseDurableOutbox()
    }

    pub fn billing(outbox: SqliteOutbox) -> ConsumerBuilder {
        let inbox = SqliteInbox::new(outbox.clone()); // UseDurableInbox()
        Consumer::builder("billing").inbox(inbox).handle(bill).state(outbox)
    }
    // ANCHOR_END: durable

    #[tokio::test]
    async fn what_is_stored_and_what_is_scheduled_are_committed_together() {
        use sqlx::Row;
        use tidings::event::Source;
        use tidings::testing::TestKit;

        let options = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1);
        let pool = options.connect("sqlite::memory:").await.unwrap();
        sqlx::query("CREATE TABLE bills (id text)").execute(&pool).await.unwrap();
        let store = SqliteStore::new(pool.clone());
        store.migrate().await.unwrap();
        let outbox = SqliteOutbox::new(store, Source::new("billing").unwrap());
        let kit = TestKit::new();
        kit.start(billing(outbox).build(&kit.transport("billing")).unwrap()).await;
        kit.publish(OrderPlaced { order: "7".into(), item_code: "pen".into() }).await;
        kit.settled().await;
        for (what, table) in [(1, "bills"), (2, "tidings_outbox")] {
            let count = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
            let count: i64 = sqlx::query(count).fetch_one(&pool).await.unwrap().get(0);
            assert_eq!(count, what, "{table}");
        }
    }
}

// ANCHOR: test
#[tokio::test(start_paused = true)]
async fn an_item_that_is_held_is_asked_for_again_and_given_up_after_five_minutes() {
    let kit = TestKit::new(); // instead of a tracked session
    let stock = Stock(Arc::new(Mutex::new(["pen".to_owned()].into())));
    kit.start(warehouse(stock, &kit.transport("warehouse")).unwrap()).await;
    for item_code in ["pen", "held", "unknown"] {
        kit.publish(OrderPlaced { order: item_code.into(), item_code: item_code.into() }).await;
    }
    kit.settled().await; // WaitForMessageToBeReceivedAt, for all of it
    kit.expect::<StockReserved>().published(1);
    kit.expect::<OrderPlaced>()
        .handled_by("reserve", 1)
        .dead_lettered(2, "")
        .matching(|placed| placed.item_code == "held")
        .retried_after("reserve", [30, 300].map(Duration::from_secs));
}
// ANCHOR_END: test

/// As Wolverine lays it on a record, without and with its envelope.
const OF_WOLVERINE: [&str; 2] = [
    r#"{ "topic": "orders", "key": "7", "headers": [],
         "payload": { "json": {"order":"7","itemCode":"pen"} } }"#,
    r#"{ "topic": "orders", "key": "7",
         "headers": [["message-type", "Shop.OrderPlaced"], ["id", "0193-7"], ["source", "shop"],
                     ["content-type", "application/json"], ["correlation-id", "c1"]],
         "payload": { "json": {"order":"7","itemCode":"pen"} } }"#,
];

#[tokio::test(start_paused = true)]
async fn a_record_of_wolverine_is_read_on_a_topic_of_one_event() {
    for record in OF_WOLVERINE {
        let kit = TestKit::new();
        let stock = Stock(Arc::new(Mutex::new(["pen".to_owned()].into())));
        kit.start(warehouse(stock, &kit.transport("warehouse")).unwrap()).await;
        kit.replay(&Fixture::from_json(record).unwrap()).await;
        kit.settled().await;
        kit.expect::<OrderPlaced>().handled_by("reserve", 1);
        let handled = kit.handled::<OrderPlaced>("reserve");
        let metadata = &handled[0].metadata;
        assert_eq!(metadata.id.to_string(), "orders/0/0", "not Wolverine's own id");
        let correlation = if record.contains("correlation-id") { "c1" } else { "orders/0/0" };
        assert_eq!(metadata.correlation_id.to_string(), correlation);
        place(&kit.publisher("shop"), OrderPlaced { order: "8".into(), item_code: "cap".into() })
            .await
            .unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_cloud_event_as_a_document_is_one_where_its_content_type_says_so() {
    for (content_type, handled) in [("application/cloudevents+json", 1), ("application/json", 0)] {
        let kit = TestKit::new();
        let stock = Stock(Arc::new(Mutex::new(["pen".to_owned()].into())));
        kit.start(warehouse(stock, &kit.transport("warehouse")).unwrap()).await;
        let record = format!(
            r#"{{ "topic": "orders", "key": "7", "headers": [["content-type", "{content_type}"]],
                  "payload": {{ "json": {{"specversion":"1.0","id":"0193","source":"shop","type":"order_placed",
                                          "data":{{"order":"7","itemCode":"pen"}}}} }} }}"#
        );
        kit.replay(&Fixture::from_json(&record).unwrap()).await;
        kit.settled().await;
        let orders = kit.expect::<OrderPlaced>();
        orders.handled_by("reserve", handled).quarantined(1 - handled, "");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_reserved_is_tallied_in_batches() {
    let kit = TestKit::new();
    let running = tallying(&kit.transport("tallying")).unwrap().start().await.unwrap();
    for order in ["7", "8"] {
        kit.publish(StockReserved { order: order.into() }).await;
    }
    while running.status().done() < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
