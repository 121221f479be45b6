//! The mediator in outbox mode: what a handler writes and what it raises commit together, or not at all.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, PgPool, Row};
use tidings::mapper::EventMapper;
use tidings::mediator::{
    Context, InTransaction, Mediator, RequestHandler, SendError, Storing, Timeout,
};
use tidings::store::NoTransaction;
use tidings::store::postgres::{PostgresOutbox, transaction};
use tidings::{Command, DomainEvent, IntegrationEvent};

use crate::stage::*;

#[derive(Debug, DomainEvent)]
struct Placed(String);

#[derive(Debug, DomainEvent)]
struct Unmappable;

#[derive(Debug, Serialize, Deserialize, IntegrationEvent)]
#[event(name = "order_placed", topic = "paid", key = order)]
struct OrderPlaced {
    order: String,
}

#[derive(Debug, thiserror::Error)]
enum OrderError {
    #[error("refused")]
    Refused,
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    NoTransaction(#[from] NoTransaction),
}

#[derive(Debug, Command)]
#[request(error = OrderError)]
struct Place(&'static str);

/// Writes in the transaction that was opened for it.
struct InGiven(AssertSqlSafe<String>);

/// Opens a transaction of its own and hands it over.
struct InOwn(AssertSqlSafe<String>, PgPool);

async fn place(request: &Place, insert: &str, cx: &mut Context) -> Result<(), OrderError> {
    let written = sqlx::query(AssertSqlSafe(insert.to_owned())).bind(request.0);
    written.execute(&mut **transaction(cx)?).await?;
    if request.0 == "hidden" {
        let failed = sqlx::query("SELECT 1 / 0").execute(&mut **transaction(cx)?).await;
        assert!(failed.is_err());
        return Ok(());
    }
    cx.raise(Placed(request.0.to_owned()));
    match request.0 {
        "refused" => Err(OrderError::Refused),
        "unmappable" => {
            cx.raise(Unmappable);
            Ok(())
        }
        "slow" => std::future::pending().await,
        _ => Ok(()),
    }
}

impl RequestHandler<Place> for InGiven {
    async fn handle(&self, request: Place, cx: &mut Context) -> Result<(), OrderError> {
        place(&request, &self.0.0, cx).await
    }
}

impl RequestHandler<Place> for InOwn {
    async fn handle(&self, request: Place, cx: &mut Context) -> Result<(), OrderError> {
        if request.0 == "forgotten" {
            cx.raise(Placed("forgotten".into()));
            return Ok(());
        }
        cx.insert(self.1.begin().await?);
        place(&request, &self.0.0, cx).await
    }
}

fn mapper() -> EventMapper {
    EventMapper::builder()
        .map_with(|placed: &Placed| OrderPlaced { order: placed.0.clone() })
        .build()
        .unwrap()
}

async fn orders(stage: &Stage) -> Vec<String> {
    let all = stage.sql("SELECT name FROM {orders} ORDER BY name");
    let rows = sqlx::query(all).fetch_all(&stage.pool).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

type Orders = Storing<Mediator, PostgresOutbox>;

async fn both(stage: &Stage) -> [Orders; 2] {
    stage.execute("CREATE TABLE {orders} (name text PRIMARY KEY)").await;
    let insert = || stage.sql("INSERT INTO {orders} VALUES ($1)");
    let given = Mediator::builder()
        .behaviour(Timeout(Duration::from_millis(200)))
        .behaviour(InTransaction(stage.outbox.clone()))
        .handler(InGiven(insert()))
        .build()
        .unwrap();
    let own = Mediator::builder()
        .behaviour(Timeout(Duration::from_millis(200)))
        .handler(InOwn(insert(), stage.pool.clone()))
        .build()
        .unwrap();
    [given, own].map(|mediator| mediator.storing(mapper(), stage.outbox.clone()))
}

#[tokio::test]
async fn a_command_and_its_events_are_committed_together() {
    let Some(stage) = stage().await else { return };
    let [given, own] = both(&stage).await;
    given.send(Place("a")).await.unwrap();
    own.send(Place("b")).await.unwrap();
    assert_eq!(orders(&stage).await, ["a", "b"]);
    let relay = stage.start();
    stage.drained().await;
    let records = stage.broker.records(&PAID);
    let mut keys: Vec<_> = records.iter().map(|record| record.key.clone().unwrap()).collect();
    keys.sort();
    assert_eq!(keys, ["a", "b"]);
    stop(relay).await;
}

#[tokio::test]
async fn of_a_command_that_fails_anywhere_nothing_is_left() {
    let Some(stage) = stage().await else { return };
    for orders_of in both(&stage).await {
        let refused = orders_of.send(Place("refused")).await.unwrap_err();
        assert!(matches!(refused, SendError::Handler(OrderError::Refused)));
        let unmappable = orders_of.send(Place("unmappable")).await.unwrap_err();
        assert_eq!(unmappable.kind(), "not_committed");
        assert!(unmappable.response().is_none());
        assert!(orders_of.send(Place("slow")).await.unwrap_err().is_timed_out());
        orders_of.send(Place("twice")).await.unwrap();
        assert_eq!(orders_of.send(Place("twice")).await.unwrap_err().kind(), "handler");
        assert_eq!(orders(&stage).await, ["twice"]);
        assert_eq!(stage.count("{outbox}").await, 1);
        stage.execute("DELETE FROM {orders}").await;
        stage.execute("DELETE FROM {outbox}").await;
    }
}

#[tokio::test]
async fn a_command_whose_events_cannot_be_stored_is_not_committed() {
    let Some(stage) = stage().await else { return };
    let [given, _] = both(&stage).await;
    stage.execute("ALTER TABLE {outbox} RENAME TO tidings_away").await;
    assert_eq!(given.send(Place("a")).await.unwrap_err().kind(), "not_committed");
    assert!(orders(&stage).await.is_empty());
}

#[tokio::test]
async fn a_command_that_hides_a_failed_statement_and_raises_nothing_is_no_success() {
    let Some(stage) = stage().await else { return };
    for orders_of in both(&stage).await {
        let hidden = orders_of.send(Place("hidden")).await.unwrap_err();
        assert_eq!(hidden.kind(), "not_committed", "{hidden}");
        assert!(orders(&stage).await.is_empty());
    }
}

#[tokio::test]
async fn a_context_can_be_used_again_after_a_request_that_was_dropped_half_way() {
    let Some(stage) = stage().await else { return };
    let [given, _] = both(&stage).await;
    let mut cx = Context::new();
    let slow = given.send_in(Place("slow"), &mut cx);
    tokio::time::timeout(Duration::from_millis(50), slow).await.unwrap_err();
    assert!(transaction(&mut cx).is_err() && cx.raised().is_empty());
    given.send_in(Place("a"), &mut cx).await.unwrap();
    assert_eq!(orders(&stage).await, ["a"]);
    assert_eq!(stage.count("{outbox}").await, 1);
}

#[tokio::test]
async fn who_forgets_the_transaction_or_the_decorator_is_told() {
    let Some(stage) = stage().await else { return };
    let [given, own] = both(&stage).await;
    let forgotten = own.send(Place("forgotten")).await.unwrap_err();
    assert!(forgotten.is_unpublished(), "{forgotten}");
    let SendError::Unpublished(left) = forgotten else { panic!() };
    assert_eq!(left.events.len(), 1, "the events are in the caller's hands");
    let nobody_commits = given.inner().send(Place("a")).await.unwrap_err();
    assert_eq!(nobody_commits.kind(), "behaviour");
    assert!(orders(&stage).await.is_empty());
}
