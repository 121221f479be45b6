//! The outbox: events that are committed with the business data, and the relay.

use std::time::Duration;

use sqlx::{PgPool, Row};
use tidings::error::BoxError;
use tidings::event::Source;
use tidings::mediator::{InTransaction, Mediator, Storing};
use tidings::outbox::{Relay, RunningRelay};
use tidings::store::OutboxStore;
use tidings::store::postgres::{PostgresOutbox, PostgresStore};
use tidings::transport::Transport;
use uuid::Uuid;

use super::contracts::UserCreated;
use super::mapping::{UserRegistered, event_mapper};

// ANCHOR: open
pub async fn open(pool: PgPool) -> Result<PostgresOutbox, BoxError> {
    let store = PostgresStore::new(pool);
    store.migrate().await?; // or run what `store.migrations()` lists
    Ok(PostgresOutbox::new(store, Source::new("user-service")?))
}
// ANCHOR_END: open

// ANCHOR: append
async fn register(
    pool: &PgPool,
    outbox: &PostgresOutbox,
    user: UserCreated,
) -> Result<(), BoxError> {
    let mut transaction = pool.begin().await?;
    sqlx::query("INSERT INTO users VALUES ($1)")
        .bind(user.user_id.to_string())
        .execute(&mut *transaction)
        .await?;
    outbox.add(&mut transaction, user).await?;
    transaction.commit().await?; // both, or neither
    Ok(())
}
// ANCHOR_END: append

// ANCHOR: handler
use tidings::Command;
use tidings::mediator::{Context, RequestHandler};
use tidings::store::NoTransaction;
use tidings::store::postgres::transaction;

#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    NoTransaction(#[from] NoTransaction),
}

#[derive(Debug, Command)]
#[request(response = Uuid, error = RegisterError)]
pub struct Register {
    pub email: String,
}

pub struct RegisterHandler;

impl RequestHandler<Register> for RegisterHandler {
    async fn handle(&self, request: Register, cx: &mut Context) -> Result<Uuid, RegisterError> {
        let id = Uuid::now_v7();
        let insert = sqlx::query("INSERT INTO users VALUES ($1)").bind(id.to_string());
        insert.execute(&mut **transaction(cx)?).await?;
        cx.raise(UserRegistered { id, email: request.email });
        Ok(id)
    }
}
// ANCHOR_END: handler

// ANCHOR: mediator
pub fn requests(outbox: PostgresOutbox) -> Result<Storing<Mediator, PostgresOutbox>, BoxError> {
    let mediator = Mediator::builder()
        .behaviour(InTransaction(outbox.clone())) // opens it before the handler
        .handler(RegisterHandler)
        .build()?;
    Ok(mediator.storing(event_mapper()?, outbox)) // commits it, with what was raised
}
// ANCHOR_END: mediator

// ANCHOR: own
pub struct OwnTransaction(PgPool);

impl RequestHandler<Register> for OwnTransaction {
    async fn handle(&self, request: Register, cx: &mut Context) -> Result<Uuid, RegisterError> {
        let id = Uuid::now_v7();
        let mut transaction = self.0.begin().await?;
        let insert = sqlx::query("INSERT INTO users VALUES ($1)").bind(id.to_string());
        insert.execute(&mut *transaction).await?;
        cx.raise(UserRegistered { id, email: request.email });
        cx.insert(transaction); // handed over: `storing` commits it
        Ok(id)
    }
}
// ANCHOR_END: own

// ANCHOR: relay
fn relay(outbox: &PostgresOutbox, transport: &dyn Transport) -> Result<RunningRelay, BoxError> {
    let relay = Relay::builder(outbox.store().clone())
        .lease(Duration::from_secs(10))
        .keep(Duration::from_secs(3_600))
        .build(transport)?;
    Ok(relay.start())
}
// ANCHOR_END: relay

// ANCHOR: parked
async fn try_parked_again(store: &PostgresStore) -> Result<(), BoxError> {
    for event in store.parked(100).await? {
        println!("{} to {}: {}", event.id, event.topic, event.reason);
        store.release(event.row).await?; // or `discard`
    }
    Ok(())
}
// ANCHOR_END: parked

/// A schema of a test's own; `None`, said aloud, where there is no server.
pub async fn pool() -> Option<PgPool> {
    let Ok(url) = std::env::var("TIDINGS_TEST_POSTGRES") else {
        println!("skipped: TIDINGS_TEST_POSTGRES is not set");
        return None;
    };
    let schema = format!("d{}", Uuid::now_v7().simple())[..32].to_owned();
    let admin = PgPool::connect(&url).await.unwrap();
    let make = format!("CREATE SCHEMA {schema}");
    sqlx::query(sqlx::AssertSqlSafe(make)).execute(&admin).await.unwrap();
    let options: sqlx::postgres::PgConnectOptions = url.parse().unwrap();
    Some(PgPool::connect_with(options.options([("search_path", &*schema)])).await.unwrap())
}

#[tokio::test]
async fn a_user_and_its_event_are_committed_together_and_published() {
    let Some(pool) = pool().await else { return };
    sqlx::query("CREATE TABLE users (id text)").execute(&pool).await.unwrap();

    let kafka = super::embedded("user-service");
    super::topics::for_publisher(&kafka).await.unwrap();
    let outbox = open(pool.clone()).await.unwrap();
    let running = relay(&outbox, &kafka).unwrap();
    requests(outbox.clone())
        .unwrap()
        .send(Register { email: "a@example.org".into() })
        .await
        .unwrap();
    let own = Mediator::builder().handler(OwnTransaction(pool.clone())).build().unwrap();
    let own = own.storing(event_mapper().unwrap(), outbox.clone());
    own.send(Register { email: "b@example.org".into() }).await.unwrap();
    let user = UserCreated { user_id: Uuid::now_v7(), email: "c@example.org".into() };
    register(&pool, &outbox, user).await.unwrap();
    let users: i64 =
        sqlx::query("SELECT count(*) FROM users").fetch_one(&pool).await.unwrap().get(0);
    assert_eq!(users, 3);
    while running.status().counts().published() < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    try_parked_again(outbox.store()).await.unwrap();
    assert!(running.stop(Duration::from_secs(5)).await.is_clean());
}
