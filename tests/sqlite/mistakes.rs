//! What is wrong about an inbox is said when the consumer is built.

use std::time::Duration;

use tidings::consumer::{Consumer, Event, HandlerError, Tx};
use tidings::retry::RetryPolicy;
use tidings::store::sqlite::{SqliteInbox, SqliteStore};

use crate::inbox::Charged;
use crate::stage::*;

async fn writes(_: Event<Charged>, _: Tx<SqliteStore>) -> Result<(), HandlerError> {
    Ok(())
}

async fn twice(
    _: Event<Charged>,
    _: Tx<SqliteStore>,
    _: Tx<SqliteStore>,
) -> Result<(), HandlerError> {
    Ok(())
}

async fn reads(_: Event<Charged>) -> Result<(), HandlerError> {
    Ok(())
}

#[tokio::test]
async fn a_handler_without_its_inbox_and_an_inbox_without_a_handler_are_named_with_the_fix() {
    let stage = stage().await;
    let inbox = SqliteInbox::new(stage.outbox.clone());
    let client = stage.client();
    let mistake = |builder: tidings::consumer::ConsumerBuilder| {
        builder.build(&client).err().expect("it is refused").to_string()
    };
    let none = mistake(Consumer::builder("books").handle(writes));
    for part in ["\"writes\"", "`Tx<SqliteStore>`", "has no inbox", ".inbox(Inbox::new(outbox))"] {
        assert!(none.contains(part), "{none}");
    }
    let unused = mistake(Consumer::builder("books").inbox(inbox.clone()).handle(reads));
    assert!(unused.contains("\"books\"") && unused.contains("`Tx<SqliteStore>`"), "{unused}");
    let several = mistake(Consumer::builder("books").inbox(inbox.clone()).handle(twice));
    assert!(several.contains("\"twice\"") && several.contains("ask once"), "{several}");
}

#[tokio::test]
async fn an_inbox_that_forgets_an_event_while_it_may_be_retried_is_refused_with_both_figures() {
    let stage = stage().await;
    let tiers = RetryPolicy::tiers([5, 60].map(Duration::from_secs)).immediate(0);
    let build = |window: u64| {
        let inbox = SqliteInbox::new(stage.outbox.clone()).window(Duration::from_secs(window));
        let consumer = Consumer::builder("books").inbox(inbox).handle(writes).retry(tiers.clone());
        consumer.handler_timeout(Duration::from_secs(10)).build(&stage.client())
    };
    // 5 + 1 + 60 + 1 s on tiers, and 3 times 3 times 10 s for attempts.
    let refused = build(156).err().expect("it is refused").to_string();
    assert!(refused.contains("after 156s") && refused.contains("may take 157s"), "{refused}");
    assert!(build(157).is_ok());
}

#[tokio::test]
async fn a_consumer_whose_inbox_has_no_tables_does_not_start() {
    let stage = stage().await;
    sqlx::query("DELETE FROM tidings_migrations WHERE version = 2")
        .execute(&stage.pool)
        .await
        .unwrap();
    let inbox = SqliteInbox::new(stage.outbox.clone());
    let consumer = Consumer::builder("books").inbox(inbox).handle(writes);
    let consumer = consumer
        .topics(tidings::consumer::TopicSetup::Create { partitions: None, replication: None });
    let refused =
        consumer.build(&stage.client()).unwrap().start().await.err().expect("it is refused");
    let refused = tidings::error::chain(&refused);
    assert!(refused.contains("version 1, this release needs 2"), "{refused}");
}
