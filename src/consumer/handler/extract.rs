//! Extractors: what a handler function may ask for.

use serde::de::DeserializeOwned;

use super::super::delivery::{Delivery, Needs};
use super::super::outcome::HandlerError;
use crate::event::{Headers, IntegrationEvent, Metadata};
use crate::inbox::Tx;
use crate::publisher::Publisher;
use crate::store::InboxTables;
use crate::transport::Received;

/// Something that a handler function may ask for beside its event.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an extractor",
    note = "a handler may ask for `Metadata`, `Headers`, `State<S>`, `Tx<S>`, `Publisher`, `RawRecord`, `Attempt` or `Delivery`"
)]
pub trait FromDelivery: Sized + Send {
    /// Takes it out of the delivery.
    ///
    /// # Errors
    /// What the delivery fails with when it is not there.
    fn from_delivery(delivery: &Delivery) -> Result<Self, HandlerError>;

    /// What the builder must have for it; checked at build.
    fn needs(_: &mut Needs) {}
}

/// The event itself, decoded: a handler's first argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event<E>(pub E);

impl<E: IntegrationEvent> FromDelivery for Event<E> {
    fn from_delivery(delivery: &Delivery) -> Result<Self, HandlerError> {
        delivery.decode().map(Self)
    }
}

/// The payload of whatever lies on a topic, decoded: a handler's first argument. A CloudEvent's payload is
/// read as one that is none is. What cannot be decoded goes to quarantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Value<V>(pub V);

impl<V: DeserializeOwned + Send> FromDelivery for Value<V> {
    fn from_delivery(delivery: &Delivery) -> Result<Self, HandlerError> {
        delivery.decode().map(Self)
    }
}

/// A clone of the state of this type that was given to the builder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State<S>(pub S);

impl<S: Clone + Send + Sync + 'static> FromDelivery for State<S> {
    fn from_delivery(delivery: &Delivery) -> Result<Self, HandlerError> {
        delivery.state().map(Self).ok_or_else(|| {
            HandlerError::permanent(format!("no state of type {}", std::any::type_name::<S>()))
        })
    }

    fn needs(needs: &mut Needs) {
        needs.state::<S>();
    }
}

/// The record as it was read: topic, partition, offset, key, payload, headers. As a handler's first argument
/// it takes whatever lies on the topic, records without a payload and those whose attributes cannot be read too;
/// the metadata of these is where they lie.
#[derive(Debug, Clone)]
pub struct RawRecord(pub Received);

impl FromDelivery for RawRecord {
    fn from_delivery(delivery: &Delivery) -> Result<Self, HandlerError> {
        Ok(Self(delivery.record().clone()))
    }
}

/// Which attempt at the event it is, from 1: see [`Delivery::attempt`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt(pub u32);

impl FromDelivery for Attempt {
    fn from_delivery(delivery: &Delivery) -> Result<Self, HandlerError> {
        Ok(Self(delivery.attempt()))
    }
}

impl<S: InboxTables> FromDelivery for Tx<S> {
    fn from_delivery(delivery: &Delivery) -> Result<Self, HandlerError> {
        delivery.tx()
    }

    fn needs(needs: &mut Needs) {
        needs.tx::<S>();
    }
}

impl FromDelivery for Delivery {
    fn from_delivery(delivery: &Delivery) -> Result<Self, HandlerError> {
        Ok(delivery.clone())
    }
}

impl FromDelivery for Metadata {
    fn from_delivery(delivery: &Delivery) -> Result<Self, HandlerError> {
        Ok(delivery.metadata().clone())
    }
}

impl FromDelivery for Headers {
    fn from_delivery(delivery: &Delivery) -> Result<Self, HandlerError> {
        Ok(delivery.headers().clone())
    }
}

impl FromDelivery for Publisher {
    fn from_delivery(delivery: &Delivery) -> Result<Self, HandlerError> {
        Ok(delivery.publisher().clone())
    }
}
