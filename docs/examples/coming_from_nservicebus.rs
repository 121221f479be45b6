//! Coming from NServiceBus: its typical code, and the same here.

use std::time::Duration;

use tidings::testing::TestKit;
use tidings::transport::Transport;

// ANCHOR: messages
use serde::{Deserialize, Serialize};
use tidings::{IntegrationEvent, Topic};

/// What is sent to this endpoint: the commands that other services have for it.
#[derive(Topic)]
#[topic(kind = command, name = "sales.commands", carries(PlaceOrder), replication = auto)]
pub struct SalesCommands;

/// `class PlaceOrder : ICommand`, from another service
#[derive(Debug, Serialize, Deserialize, IntegrationEvent)]
#[event(key = order, topic = SalesCommands)]
pub struct PlaceOrder {
    pub order: String,
    pub amount: u32,
}

/// `class OrderPlaced : IEvent`
#[derive(Debug, Serialize, Deserialize, IntegrationEvent)]
#[event(key = order, topic = "sales.orders")]
pub struct OrderPlaced {
    pub order: String,
}
// ANCHOR_END: messages

#[derive(Debug, thiserror::Error)]
#[error("an order of nothing")]
pub struct NothingOrdered;

// ANCHOR: handler
use tidings::consumer::{Delivery, HandlerError, IntegrationEventHandler, IntoOutcome};

/// `class PlaceOrderHandler : IHandleMessages<PlaceOrder>`
pub struct PlaceOrderHandler {
    pub limit: u32,
}

impl IntegrationEventHandler<PlaceOrder> for PlaceOrderHandler {
    async fn handle(
        &self,
        command: PlaceOrder,
        delivery: &Delivery, // IMessageHandlerContext
    ) -> Result<impl IntoOutcome, HandlerError> {
        println!("caused by {:?}", delivery.metadata().causation_id); // NServiceBus.RelatedTo
        if command.amount == 0 {
            return Err(NothingOrdered.into());
        }
        if command.amount > self.limit {
            return Err(HandlerError::transient("the books are closed"));
        }
        Ok(OrderPlaced { order: command.order }) // context.Publish: when the handler has succeeded
    }
}
// ANCHOR_END: handler

// ANCHOR: endpoint
use tidings::consumer::{BuildError, Consumer, FailureKind, TopicSetup};
use tidings::retry::{Backoff, RetryPolicy};

pub fn sales<T: Transport + Clone>(transport: &T) -> Result<Consumer, BuildError> {
    // The defaults of NServiceBus: 5 at once, then 10 s, 20 s, 30 s, with 5 at once after each.
    let policy = RetryPolicy::tiers([10, 20, 30].map(Duration::from_secs))
        .immediate(5)
        .backoff(Backoff::fixed(Duration::ZERO));
    Consumer::builder("sales") // new EndpointConfiguration("sales")
        .handle(PlaceOrderHandler { limit: 1000 })
        .retry(policy) // Recoverability()
        .classify(|_: &NothingOrdered| FailureKind::Permanent) // AddUnrecoverableException<T>()
        .concurrency(8) // LimitMessageProcessingConcurrencyTo(8)
        .topics(TopicSetup::Create { partitions: None, replication: None }) // EnableInstallers()
        .build(transport)
}
// ANCHOR_END: endpoint

// ANCHOR: send
use tidings::publisher::{PublishError, Publisher};

/// `session.Send(command)`: the command knows where it goes.
pub async fn order(publisher: &Publisher, command: PlaceOrder) -> Result<(), PublishError> {
    publisher.publish(command).await?;
    Ok(())
}
// ANCHOR_END: send

// ANCHOR: test
#[tokio::test(start_paused = true)]
async fn an_order_that_is_too_big_is_tried_for_a_minute() {
    let kit = TestKit::new(); // the endpoint itself, instead of a TestableMessageHandlerContext
    kit.start(sales(&kit.transport("sales")).unwrap()).await;
    for amount in [7, 0, 9_999] {
        kit.publish(PlaceOrder { order: amount.to_string(), amount }).await;
    }
    kit.settled().await;
    kit.expect::<OrderPlaced>().published_exactly([OrderPlaced { order: "7".into() }]);
    kit.expect::<PlaceOrder>()
        .dead_lettered(2, "")
        .matching(|command| command.amount == 9_999)
        .retried_after("PlaceOrderHandler", [10, 20, 30].map(Duration::from_secs))
        .dead_lettered(1, "the books are closed");
}
// ANCHOR_END: test

#[tokio::test(start_paused = true)]
async fn a_command_that_is_sent_is_handled_and_has_its_event_as_a_consequence() {
    let kit = TestKit::new();
    kit.start(sales(&kit.transport("sales")).unwrap()).await;
    order(&kit.publisher("shop"), PlaceOrder { order: "7".into(), amount: 7 }).await.unwrap();
    kit.settled().await;
    let command = kit.published::<PlaceOrder>().remove(0).metadata;
    let event = kit.published::<OrderPlaced>().remove(0).metadata;
    assert_eq!(event.causation_id.as_ref(), Some(&command.id));
    assert_eq!(event.correlation_id, command.correlation_id);
}
