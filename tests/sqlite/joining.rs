//! Requests that are sent within a handler's transaction.

use serde::{Deserialize, Serialize};
use tidings::consumer::{Event, HandlerError, State, Tx};
use tidings::mapper::EventMapper;
use tidings::mediator::{Context, InTransaction, Mediator, RequestHandler, Storing};
use tidings::store::NoTransaction;
use tidings::store::sqlite::{SqliteOutbox, SqliteStore, transaction};
use tidings::{Command, DomainEvent, IntegrationEvent};

use crate::inbox::*;

#[derive(Debug, DomainEvent)]
struct Shipped(u32);

#[derive(Debug, Serialize, Deserialize, IntegrationEvent)]
#[event(name = "order_shipped", topic = "paid", key = key)]
struct OrderShipped {
    key: String,
}

#[derive(Debug, thiserror::Error)]
enum ShipError {
    #[error("there is nothing to ship")]
    Nothing,
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    NoTransaction(#[from] NoTransaction),
}

#[derive(Debug, Command)]
#[request(error = ShipError)]
struct Ship(u32);

struct Shipping;

impl RequestHandler<Ship> for Shipping {
    async fn handle(&self, Ship(n): Ship, cx: &mut Context) -> Result<(), ShipError> {
        let insert = sqlx::query("INSERT INTO effects VALUES ('ship', ?)").bind(n);
        insert.execute(&mut **transaction(cx)?).await?;
        cx.raise(Shipped(n));
        if n >= 2 { Err(ShipError::Nothing) } else { Ok(()) }
    }
}

type Requests = Storing<Mediator, SqliteOutbox>;

/// The last of them hides that its request has failed.
async fn charge(
    Event(event): Event<Charged>,
    mut tx: Tx<SqliteStore>,
    State(requests): State<std::sync::Arc<Requests>>,
) -> Result<(), HandlerError> {
    note(&mut tx, "before", event.n).await?;
    let shipped = requests.send_within(Ship(event.n), &mut tx).await;
    note(&mut tx, "after", event.n).await?;
    if event.n < 3 {
        shipped.map_err(HandlerError::permanent)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_within_a_handlers_transaction_is_committed_with_it_or_not_at_all() {
    let stage = with_effects().await;
    let mapper = EventMapper::builder()
        .map_with(|shipped: &Shipped| OrderShipped { key: shipped.0.to_string() })
        .build()
        .unwrap();
    let mediator = Mediator::builder()
        .behaviour(InTransaction(stage.outbox.clone()))
        .handler(Shipping)
        .build()
        .unwrap();
    let requests = std::sync::Arc::new(mediator.storing(mapper, stage.outbox.clone()));
    let consumer = consumer(&stage).handle(charge).state(requests);
    let running = consumer.build(&stage.client()).unwrap().start().await.unwrap();
    publish(&stage, (0..4).map(charged), 2).await;
    caught_up(&stage).await;
    for what in ["before", "ship", "after"] {
        assert_eq!(effects(&stage.pool, what).await, [0, 1], "{what}");
    }
    assert_eq!(stage.count("tidings_outbox").await, 2);
    let counts = running.status().counts();
    assert_eq!((counts.handled(), counts.duplicates(), counts.dead_lettered()), (2, 2, 4));
    let dead = stage.broker.records(&tidings::event::TopicName::from_static("charges.dlq"));
    let why: Vec<_> = dead.iter().filter_map(|r| r.headers.get_str("x-error-message")).collect();
    assert!(why.iter().any(|why| why.contains("answer its error")), "{why:?}");
    end(running).await;
}
