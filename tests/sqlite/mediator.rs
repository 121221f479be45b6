//! The mediator in outbox mode: what a handler writes and what it raises commit together, or not at all.

use serde::{Deserialize, Serialize};
use sqlx::{Row, SqlitePool};
use tidings::mapper::EventMapper;
use tidings::mediator::{Context, InTransaction, Mediator, RequestHandler};
use tidings::store::NoTransaction;
use tidings::store::sqlite::transaction;
use tidings::{Command, DomainEvent, IntegrationEvent};

use crate::stage::*;

#[derive(Debug, DomainEvent)]
struct Placed(String);

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

/// Writes in the transaction that was opened for it, or opens one and hands it over.
struct Handler(Option<SqlitePool>);

impl RequestHandler<Place> for Handler {
    async fn handle(&self, request: Place, cx: &mut Context) -> Result<(), OrderError> {
        if let Some(pool) = &self.0 {
            cx.insert(pool.begin().await?);
        }
        let insert = sqlx::query("INSERT INTO orders VALUES (?)").bind(request.0);
        insert.execute(&mut **transaction(cx)?).await?;
        if request.0.starts_with("ended") {
            // As a full disk would.
            let again = sqlx::query("INSERT OR ROLLBACK INTO orders VALUES (?)").bind(request.0);
            assert!(again.execute(&mut **transaction(cx)?).await.is_err());
            if request.0 == "ended quietly" {
                return Ok(());
            }
        }
        cx.raise(Placed(request.0.to_owned()));
        if request.0 == "refused" { Err(OrderError::Refused) } else { Ok(()) }
    }
}

#[tokio::test]
async fn a_command_and_its_events_are_committed_together_or_not_at_all() {
    let stage = stage().await;
    sqlx::query("CREATE TABLE orders (name TEXT PRIMARY KEY)").execute(&stage.pool).await.unwrap();
    let mapper = EventMapper::builder()
        .map_with(|placed: &Placed| OrderPlaced { order: placed.0.clone() })
        .build()
        .unwrap();
    let given = Mediator::builder()
        .behaviour(InTransaction(stage.outbox.clone()))
        .handler(Handler(None))
        .build()
        .unwrap();
    let own = Mediator::builder().handler(Handler(Some(stage.pool.clone()))).build().unwrap();
    let [given, own] =
        [given, own].map(|mediator| mediator.storing(mapper.clone(), stage.outbox.clone()));
    given.send(Place("a")).await.unwrap();
    own.send(Place("b")).await.unwrap();
    for orders in [&given, &own] {
        assert_eq!(orders.send(Place("refused")).await.unwrap_err().kind(), "handler");
        assert_eq!(orders.send(Place("a")).await.unwrap_err().kind(), "handler");
        for ended in ["ended", "ended quietly"] {
            assert_eq!(orders.send(Place(ended)).await.unwrap_err().kind(), "not_committed");
        }
    }
    let rows = sqlx::query("SELECT name FROM orders ORDER BY name").fetch_all(&stage.pool).await;
    let names: Vec<String> = rows.unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(stage.count("tidings_outbox").await, 2);
    let relay = stage.start();
    stage.drained().await;
    assert_eq!(stage.broker.records(&PAID).len(), 2);
    stop(relay).await;
}
