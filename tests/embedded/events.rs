//! The events of these tests: one shape, and a contract for each test with a topic of its own.

use std::fmt::Debug;
use std::marker::PhantomData;

use serde::{Deserialize, Serialize};
use tidings::IntegrationEvent;
use tidings::event::{InvalidKey, PartitionKey, TopicName};

/// What makes a [`Note`] an event of its own.
pub trait Contract: Debug + Clone + PartialEq + Send + Sync + 'static {
    const TOPIC: &'static str;
    const NAME: &'static str;
    const VERSION: u32;
}

/// Declares contracts: `contract!(Paid: "billing.paid")`, and `as "paid" v 2` where it matters.
macro_rules! contract {
    ($contract:ident: $topic:literal) => {
        contract!($contract: $topic as "noted" v 1);
    };
    ($contract:ident: $topic:literal as $name:literal) => {
        contract!($contract: $topic as $name v 1);
    };
    ($contract:ident: $topic:literal as $name:literal v $version:literal) => {
        #[derive(Debug, Clone, PartialEq)]
        struct $contract;
        impl $crate::events::Contract for $contract {
            const TOPIC: &'static str = $topic;
            const NAME: &'static str = $name;
            const VERSION: u32 = $version;
        }
    };
}
pub(crate) use contract;

/// An event with a key and a number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Note<C: Contract> {
    /// Its partition key; an empty one is none.
    pub key: String,
    pub n: u32,
    #[serde(skip)]
    contract: PhantomData<fn() -> C>,
}

pub fn note<C: Contract>(key: impl Into<String>, n: u32) -> Note<C> {
    Note { key: key.into(), n, contract: PhantomData }
}

/// The topic of a contract.
pub fn topic<C: Contract>() -> TopicName {
    TopicName::from_static(C::TOPIC)
}

impl<C: Contract> IntegrationEvent for Note<C> {
    const NAME: &'static str = C::NAME;
    const VERSION: u32 = C::VERSION;

    fn topics() -> Vec<TopicName> {
        vec![topic::<C>()]
    }

    fn topic(&self) -> TopicName {
        topic::<C>()
    }

    fn partition_key(&self) -> Result<Option<PartitionKey>, InvalidKey> {
        (!self.key.is_empty()).then(|| PartitionKey::new(self.key.as_str())).transpose()
    }
}
