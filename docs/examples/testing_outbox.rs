//! The test kit on an outbox.

use std::time::Duration;

use sqlx::sqlite::SqlitePoolOptions;
use tidings::consumer::{Consumer, Event, HandlerError};
use tidings::error::BoxError;
use tidings::event::Source;
use tidings::outbox::Relay;
use tidings::retry::RetryPolicy;
use tidings::store::sqlite::{SqliteOutbox, SqliteStore};
use tidings::testing::TestKit;
use tidings::transport::memory::MemoryConfig;
use uuid::Uuid;

use super::contracts::UserCreated;

async fn welcome(_: Event<UserCreated>) -> Result<(), HandlerError> {
    Ok(())
}

// ANCHOR: outbox
#[tokio::test]
async fn what_is_committed_is_published_and_handled() -> Result<(), BoxError> {
    // It lives as long as its one connection.
    let pool = SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await?;
    let store = SqliteStore::new(pool.clone());
    store.migrate().await?;
    let outbox = SqliteOutbox::new(store.clone(), Source::new("user-service")?);

    let kit = TestKit::new();
    kit.start_relay(Relay::builder(store).build(&kit.transport("user-service"))?);
    let tiers = RetryPolicy::tiers([Duration::from_millis(50)]);
    let transport = kit.connect(MemoryConfig::new("email-service").retry(tiers));
    kit.start(Consumer::builder("email-service").handle(welcome).build(&transport)?).await;

    let mut transaction = pool.begin().await?;
    let user = UserCreated { user_id: Uuid::now_v7(), email: "ada@example.org".into() };
    outbox.add(&mut transaction, user).await?;
    transaction.commit().await?;
    kit.settled().await;
    kit.expect::<UserCreated>().published(1).handled_by("welcome", 1);
    Ok(())
}
// ANCHOR_END: outbox
