//! Functions as people write them, under the attributes.
#![deny(
    missing_debug_implementations,
    unused,
    reason = "what is generated troubles nobody's lints"
)]

use serde::{Deserialize, Serialize};
use tidings::consumer::{Event, HandlerError};
use tidings::event::TopicName;
use tidings::producer::Producer;
use tidings::testing::TestKit;
use tidings::{IntegrationEvent, Topic, consumer, producer};

#[derive(Topic)]
#[topic(kind = event, name = "uses.orders", carries(Placed), replication = auto)]
struct Orders;

#[derive(Debug, Serialize, Deserialize, IntegrationEvent)]
#[event(key = order, topic = Orders)]
pub struct Placed {
    order: String,
}

#[derive(Debug, Serialize)]
pub struct Line<'a> {
    order: &'a str,
}

impl tidings::topic::Carries<Line<'_>> for Uses {}

#[derive(Topic)]
#[topic(kind = event, name = "uses.lines", replication = auto)]
struct Uses;

/// With a doc comment, what rustc and other macros say, and an argument that changes.
#[producer(topic = Orders)]
#[must_use = "it says what was placed"]
#[allow(clippy::unused_async, reason = "as anywhere")]
#[tracing::instrument(skip_all)]
pub(crate) async fn changed(mut order: String, #[allow(unused)] note: Option<&str>) -> Placed {
    order.push('!');
    Placed { order }
}

#[producer]
async fn of_a_trait<'a, S>(order: &'a S) -> impl IntegrationEvent + use<'a, S>
where
    S: ToString + ?Sized,
{
    Placed { order: order.to_string() }
}

#[producer(topic = Uses, unkeyed)]
async fn borrowed(order: &str) -> Line<'_> {
    Line { order }
}

#[producer(topic = "uses.lines", unkeyed)]
async fn serialized(order: impl Into<String>) -> impl Serialize {
    order.into()
}

#[producer]
#[cfg(any())]
async fn not_there() -> NotThere {}

/// Functions that are called as what is generated calls its own.
mod named {
    use super::{Placed, producer};

    #[producer]
    pub(super) async fn publisher(event: &str) -> Placed {
        Placed { order: event.into() }
    }

    #[producer]
    pub(super) async fn event(publisher: &str, value: u32) -> Placed {
        Placed { order: format!("{publisher}{value}") }
    }

    #[producer(topic = "uses.lines", key = order)]
    pub(super) async fn send(producer: &str, message: &str) -> Placed {
        Placed { order: format!("{producer}{message}") }
    }

    #[producer]
    pub(super) async fn publish(r#type: String) -> Placed {
        Placed { order: r#type }
    }
}

#[consumer(group = "counters", name = "counter")]
async fn register(_: Event<Placed>) -> Result<(), HandlerError> {
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn functions_as_people_write_them_are_published() {
    /// In a function, where it sees the items of that function.
    #[producer]
    async fn inside(n: u32) -> Inside {
        Inside { n }
    }
    #[derive(Debug, Serialize, Deserialize, IntegrationEvent)]
    #[event(unkeyed)]
    struct Inside {
        n: u32,
    }

    let kit = TestKit::new();
    let (publisher, producer) = (kit.publisher("shop"), Producer::new(&kit.transport("shop")));
    kit.start(register::consumer().build(&kit.transport("shop")).unwrap()).await;
    changed::publish(&publisher, "1".into(), None).await.unwrap();
    of_a_trait::publish(&publisher, "2").await.unwrap();
    named::publisher::publish(&publisher, "3").await.unwrap();
    named::event::publish(&publisher, "4", 4).await.unwrap();
    named::publish::publish(&publisher, "5".into()).await.unwrap();
    inside::publish(&publisher, 6).await.unwrap();
    borrowed::send(&producer, "7").await.unwrap();
    serialized::send(&producer, "8").await.unwrap();
    named::send::send(&producer, "9", "9").await.unwrap();
    kit.settled().await;
    kit.expect::<Placed>().published(5).handled_by("counter", 5);
    let mut orders: Vec<_> =
        kit.published::<Placed>().into_iter().map(|placed| placed.event.order).collect();
    orders.sort();
    assert_eq!(orders, ["1!", "2", "3", "44", "5"]);
    kit.expect::<Inside>().published(1);
    assert_eq!(kit.broker().records(&TopicName::from_static("uses.lines")).len(), 3);
}
