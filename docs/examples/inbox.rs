//! The inbox: handlers whose effect happens once, however often their event is delivered.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{PgPool, Row};
use tidings::IntegrationEvent;
use tidings::consumer::{
    Consumer, ConsumerBuilder, Delivery, Event, HandlerError, IntegrationEventHandler, IntoOutcome,
    Needs, State, TopicSetup, Tx,
};
use tidings::mediator::{Mediator, Storing};
use tidings::store::postgres::{PostgresInbox, PostgresOutbox, PostgresStore};
use uuid::Uuid;

use super::contracts::UserCreated;
use super::outbox::Register;

// ANCHOR: handler
#[derive(serde::Serialize, serde::Deserialize, IntegrationEvent)]
#[event(key = user_id)]
pub struct WelcomeQueued {
    pub user_id: Uuid,
}

async fn welcome(
    Event(user): Event<UserCreated>,
    mut tx: Tx<PostgresStore>,
) -> Result<WelcomeQueued, sqlx::Error> {
    sqlx::query("INSERT INTO mails VALUES ($1)").bind(user.email).execute(&mut *tx).await?;
    Ok(WelcomeQueued { user_id: user.user_id }) // to the outbox, in the same transaction
}
// ANCHOR_END: handler

// ANCHOR: build
fn email_service(outbox: PostgresOutbox) -> ConsumerBuilder {
    let inbox = PostgresInbox::new(outbox).window(Duration::from_secs(30 * 24 * 3600));
    Consumer::builder("email-service").inbox(inbox).handle(welcome)
}
// ANCHOR_END: build

// ANCHOR: typed
pub struct Audit;

impl IntegrationEventHandler<UserCreated> for Audit {
    async fn handle(
        &self,
        user: UserCreated,
        delivery: &Delivery,
    ) -> Result<impl IntoOutcome, HandlerError> {
        let mut tx = delivery.tx::<PostgresStore>()?;
        let insert = sqlx::query("INSERT INTO audit VALUES ($1)").bind(user.email);
        insert.execute(&mut *tx).await?;
        Ok(())
    }

    fn needs(needs: &mut Needs) {
        needs.tx::<PostgresStore>(); // it runs in a transaction
    }
}
// ANCHOR_END: typed

// ANCHOR: join
type Requests = Arc<Storing<Mediator, PostgresOutbox>>;

async fn mirror(
    Event(user): Event<UserCreated>,
    mut tx: Tx<PostgresStore>,
    State(requests): State<Requests>,
) -> Result<(), HandlerError> {
    // What it writes and raises is committed with this event, or not at all.
    requests.send_within(Register { email: user.email }, &mut tx).await?;
    Ok(())
}
// ANCHOR_END: join

// ANCHOR: offsets
fn with_offsets(outbox: PostgresOutbox) -> PostgresInbox {
    PostgresInbox::new(outbox).offsets_in_database()
}
// ANCHOR_END: offsets

#[tokio::test]
async fn an_event_that_comes_twice_has_its_effect_once() {
    let Some(pool) = super::outbox::pool().await else { return };
    for table in ["users (id text)", "mails (address text)", "audit (address text)"] {
        let make = sqlx::AssertSqlSafe(format!("CREATE TABLE {table}"));
        sqlx::query(make).execute(&pool).await.unwrap();
    }
    let kafka = super::embedded("user-service");
    let outbox = super::outbox::open(pool.clone()).await.unwrap();
    let requests: Requests = Arc::new(super::outbox::requests(outbox.clone()).unwrap());
    let consumer = email_service(outbox.clone()).handle(Audit).handle(mirror).state(requests);
    let consumer = consumer.inbox(with_offsets(outbox));
    let consumer = consumer.topics(TopicSetup::Create { partitions: Some(1), replication: None });
    let running = consumer.build(&kafka).unwrap().start().await.unwrap();
    let publisher = tidings::publisher::Publisher::new(&kafka);
    let user = UserCreated { user_id: Uuid::now_v7(), email: "ada@example.org".into() };
    let source = tidings::event::Source::new("user-service").unwrap();
    let flow = tidings::event::Flow::default();
    let format = tidings::codec::Format::Json;
    let envelope = tidings::codec::envelope(&user, &source, format, &flow).unwrap();
    publisher.publish_envelopes(vec![envelope.clone(), envelope]).await.unwrap();
    while running.status().counts().duplicates() < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for (table, rows) in [("mails", 1), ("audit", 1), ("users", 1), ("tidings_outbox", 2)] {
        let count: i64 = count(&pool, table).await;
        assert_eq!(count, rows, "{table}");
    }
    assert!(running.stop(Duration::from_secs(5)).await.is_clean());
}

async fn count(pool: &PgPool, table: &str) -> i64 {
    let count = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
    sqlx::query(count).fetch_one(pool).await.unwrap().get(0)
}
