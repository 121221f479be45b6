//! Coming from Spring Kafka: its typical code, and the same here.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidings::testing::{Fixture, TestKit};
use tidings::transport::Transport;

// ANCHOR: topic
use tidings::{IntegrationEvent, Topic};

/// `TopicBuilder.name("orders").partitions(6).build()`
#[derive(Topic)]
#[topic(kind = event, name = "orders", carries(OrderPlaced), partitions = 6, replication = auto)]
pub struct Orders;

#[derive(Debug, Serialize, Deserialize, IntegrationEvent)]
#[event(key = order, topic = Orders)]
#[serde(rename_all = "camelCase")]
pub struct OrderPlaced {
    pub order: String,
    pub ship_to: String,
}

#[derive(Debug, Serialize, Deserialize, IntegrationEvent)]
#[event(key = order, topic = "parcels")]
pub struct ParcelSent {
    pub order: String,
}
// ANCHOR_END: topic

#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    #[error("there is no such place")]
    NoSuchPlace,
    #[error("the carrier does not answer")]
    CarrierAway,
}

// ANCHOR: listener
use tidings::consumer::{Attempt, Event, HandlerError};
use tidings::event::Metadata;

/// `@KafkaListener(id = "shipping", topics = "orders") @SendTo("parcels")`
pub async fn ship(
    Event(placed): Event<OrderPlaced>,
    metadata: Metadata,
    Attempt(attempt): Attempt, // @Header(KafkaHeaders.DELIVERY_ATTEMPT), tiers too
) -> Result<ParcelSent, HandlerError> {
    println!("{} of {}, attempt {attempt}", metadata.id, metadata.source);
    if placed.ship_to.is_empty() {
        return Err(HandlerError::permanent(AddressError::NoSuchPlace)); // not retryable
    }
    if placed.ship_to == "Atlantis" {
        Err(AddressError::CarrierAway)?; // anything else is retried
    }
    Ok(ParcelSent { order: placed.order })
}
// ANCHOR_END: listener

// ANCHOR: container
use tidings::consumer::{BuildError, Consumer, Order, TopicSetup};
use tidings::retry::RetryPolicy;

pub fn shipping<T: Transport + Clone>(transport: &T) -> Result<Consumer, BuildError> {
    // @RetryableTopic(attempts = "4", backoff = @Backoff(delay = 1000, multiplier = 2))
    let tiers = [1, 2, 4].map(Duration::from_secs);
    Consumer::builder("shipping") // groupId
        .handle(ship)
        .retry(RetryPolicy::tiers(tiers).immediate(0))
        .members(3) // concurrency = "3"
        .order(Order::ByPartition) // a record at a time of each partition; `ByKey` is faster
        .topics(TopicSetup::Create { partitions: None, replication: None }) // KafkaAdmin
        .on_assigned(|_, partitions| println!("{partitions:?}")) // ConsumerAwareRebalanceListener
        .build(transport)
}
// ANCHOR_END: container

// ANCHOR: dlt
use tidings::event::{Headers, TopicName, header};

const ORDERS_DLQ: TopicName = TopicName::from_static("orders.dlq");

/// `@DltHandler`, of whatever group
pub async fn look(Event(placed): Event<OrderPlaced>, headers: Headers) -> Result<(), HandlerError> {
    println!("{} failed: {:?}", placed.order, headers.get_str(header::ERROR_MESSAGE));
    Ok(())
}

pub fn dead_letters<T: Transport + Clone>(transport: &T) -> Result<Consumer, BuildError> {
    Consumer::builder("dead-orders")
        .handle_on(ORDERS_DLQ, look)
        .retry(RetryPolicy::none().dead_letter(false)) // they are dead letters already
        .topics(TopicSetup::Create { partitions: None, replication: None })
        .build(transport)
}
// ANCHOR_END: dlt

// ANCHOR: batch
use tidings::worker;
use tidings::worker::Item;

/// `@KafkaListener(batch = "true")`, `max.poll.records=200`
#[worker(topic = "parcels", group = "invoices", batch = 200, wait = "1s")]
pub async fn invoice(parcels: Vec<Item<Event<ParcelSent>>>) -> Vec<Result<(), HandlerError>> {
    parcels.iter().map(|parcel| bill(&parcel.input.0)).collect() // no BatchListenerFailedException
}
// ANCHOR_END: batch

fn bill(parcel: &ParcelSent) -> Result<(), HandlerError> {
    match parcel.order.as_str() {
        "" => Err(HandlerError::permanent("no order")),
        _ => Ok(()),
    }
}

// ANCHOR: template
use tidings::publisher::{PublishError, Publisher};

pub async fn announce(publisher: &Publisher, placed: OrderPlaced) -> Result<(), PublishError> {
    publisher.publish(placed).await?; // template.send(..).get()
    Ok(())
}

pub async fn mention(publisher: &Publisher, placed: OrderPlaced) -> Result<(), PublishError> {
    publisher.publish_and_forget(placed).await?; // template.send(..), and nobody looks at the future
    Ok(())
}
// ANCHOR_END: template

fn to(ship_to: &str) -> OrderPlaced {
    OrderPlaced { order: "7".into(), ship_to: ship_to.into() }
}

// ANCHOR: test
#[tokio::test(start_paused = true)] // instead of @EmbeddedKafka and Awaitility
async fn a_carrier_that_does_not_answer_is_asked_four_times() {
    let kit = TestKit::new();
    kit.start(shipping(&kit.transport("shipping")).unwrap()).await;
    kit.publish(to("Atlantis")).await;
    kit.publish(to("Uppsala")).await;
    kit.settled().await;
    kit.expect::<ParcelSent>().published(1);
    kit.expect::<OrderPlaced>()
        .retried_after("ship", [1, 2, 4].map(Duration::from_secs))
        .dead_lettered(1, "the carrier does not answer");
}
// ANCHOR_END: test

#[tokio::test(start_paused = true)]
async fn what_is_announced_is_shipped_and_what_cannot_be_is_a_dead_letter_at_once() {
    let kit = TestKit::new();
    kit.start(shipping(&kit.transport("shipping")).unwrap()).await;
    let shop = kit.publisher("shop");
    announce(&shop, to("Uppsala")).await.unwrap();
    mention(&shop, to("")).await.unwrap();
    kit.settled().await;
    let orders = kit.expect::<OrderPlaced>().handled_by("ship", 1).retried_after("ship", []);
    orders.dead_lettered(1, "there is no such place");
}

#[tokio::test(start_paused = true)]
async fn a_record_of_spring_is_read_on_a_topic_of_one_event() {
    let kit = TestKit::new();
    kit.start(shipping(&kit.transport("shipping")).unwrap()).await;
    let record = r#"{ "topic": "orders", "key": "7", "headers": [["__TypeId__", "shop.OrderPlaced"]],
                      "payload": { "json": {"order":"7","shipTo":"Uppsala"} } }"#;
    kit.replay(&Fixture::from_json(record).unwrap()).await;
    kit.settled().await;
    kit.expect::<OrderPlaced>().handled_by("ship", 1);
}

#[tokio::test(start_paused = true)]
async fn dead_letters_are_looked_at_and_parcels_invoiced() {
    let kit = TestKit::new();
    let transport = kit.transport("shipping");
    for consumer in [shipping(&transport), dead_letters(&transport)] {
        kit.start(consumer.unwrap()).await;
    }
    let setup = TopicSetup::Create { partitions: None, replication: None };
    let invoices = invoice::worker().topics(setup).build(&transport).unwrap();
    let running = invoices.start().await.unwrap();
    kit.publish(to("")).await;
    kit.publish(to("Uppsala")).await;
    kit.settled().await;
    kit.expect::<OrderPlaced>().handled_by("look", 1).handled_by("ship", 1);
    while running.status().done() < 1 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
