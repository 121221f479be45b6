//! The contracts of the simulated services.

use serde::{Deserialize, Serialize};
use tidings::event::{IntegrationEvent, TopicName};
use tidings::{DomainEvent, IntegrationEvent as Derive};

/// An event that no other one equals: its serial number is its own.
pub trait Serial: IntegrationEvent {
    fn serial(&self) -> u64;
}

macro_rules! serial {
    ($($event:ident)*) => {
        $(impl Serial for $event {
            fn serial(&self) -> u64 {
                self.serial
            }
        })*
    };
}

#[derive(Debug, Clone, Serialize, Deserialize, Derive)]
#[event(name = "placed", topic = "orders", key = key)]
pub struct Placed {
    pub key: String,
    pub serial: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize, Derive)]
#[event(name = "paid", topic = "orders", key = key)]
pub struct Paid {
    pub key: String,
    pub serial: u64,
}

/// Nobody handles it.
#[derive(Debug, Clone, Serialize, Deserialize, Derive)]
#[event(name = "strange", topic = "orders", key = key)]
pub struct Strange {
    pub key: String,
    pub serial: u64,
}

/// Says that it is a `Placed`, and cannot be read as one.
#[derive(Debug, Clone, Serialize, Deserialize, Derive)]
#[event(name = "placed", topic = "orders", key = key)]
pub struct Garbled {
    pub key: String,
    pub number: u64,
}

/// Follows from a `Paid`.
#[derive(Debug, Clone, Serialize, Deserialize, Derive)]
#[event(name = "shipped", topic = "parcels", key = key)]
pub struct Shipped {
    pub key: String,
    pub serial: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize, Derive)]
#[event(name = "ticked", topic = "ticks", unkeyed)]
pub struct Ticked {
    pub serial: u64,
}

serial!(Placed Paid Strange Shipped Ticked);

/// What the shop's domain says.
#[derive(Debug, DomainEvent)]
pub struct Bought {
    pub key: String,
    pub serial: u64,
}

/// Money came, for some serial numbers.
#[derive(Debug, DomainEvent)]
pub struct Settled {
    pub key: String,
    pub serials: Vec<u64>,
}

/// Stays inside.
#[derive(Debug, DomainEvent)]
pub struct Counted;

impl From<&Bought> for Placed {
    fn from(event: &Bought) -> Self {
        Self { key: event.key.clone(), serial: event.serial }
    }
}

pub fn topic(name: &'static str) -> TopicName {
    TopicName::from_static(name)
}
