//! Kafka's semantics in this process, for tests: no C code, no sockets, no threads; time is tokio's.
//!
//! [`MemoryBroker`] keeps topics, groups, offsets and transactions; [`Memory`] is a client of it, as
//! [`Kafka`](https://docs.rs/tidings) is one of a cluster. What goes wrong is scripted, or drawn from
//! a seed, as a [`FaultPlan`].
//!
//! ```
//! # #[cfg(feature = "macros")] {
//! use serde::{Deserialize, Serialize};
//! use tidings::IntegrationEvent;
//! use tidings::publisher::Publisher;
//! use tidings::transport::memory::MemoryBroker;
//!
//! #[derive(Serialize, Deserialize, IntegrationEvent)]
//! #[event(key = order)]
//! struct OrderPaid { order: String }
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let broker = MemoryBroker::new();
//! let shop = broker.client("shop").unwrap();
//! Publisher::new(&shop).publish(OrderPaid { order: "7".into() }).await.unwrap();
//! assert_eq!(broker.records(&OrderPaid::topics()[0]).len(), 1);
//! # }
//! # }
//! ```

mod admin;
mod broker;
mod config;
mod producer;
mod reader;
mod source;
mod transactions;

use std::sync::{Arc, Mutex};

use tokio::task::AbortHandle;

pub use broker::{
    Backlog, Fault, FaultPlan, Lag, MemoryBroker, MemoryBrokerBuilder, Operation, Reader, Watcher,
};
pub use config::{Cleanup, Isolation, MemoryConfig, OffsetReset, TopicConfig};

use self::admin::MemoryAdmin;
use self::broker::Shared;
use self::producer::{MemoryProducer, lock};
use self::transactions::MemoryTransactions;
use super::{
    Admin, ConsumerDefaults, Observer, Offsets, Producer, Source, Subscription, TopicReader,
    TransactionError, Transactions, Transport, TransportError,
};
use crate::clock::BrokerClock;
use crate::error::ErrorClass;
use crate::event::Source as ServiceName;
use crate::retry::Chance;

/// A client of a broker in memory. Cheap to clone; all clones are the same client.
///
/// It starts tasks of the tokio runtime that it is used in.
#[derive(Clone)]
pub struct Memory(Arc<Client>);

struct Client {
    shared: Arc<Shared>,
    id: u64,
    config: MemoryConfig,
    service: ServiceName,
    clock: BrokerClock,
    producer: Arc<MemoryProducer>,
    members: Mutex<Vec<AbortHandle>>,
}

impl Memory {
    pub(self) fn new(shared: Arc<Shared>, config: MemoryConfig) -> Result<Self, TransportError> {
        let service = ServiceName::new(&config.service).map_err(|error| TransportError {
            what: format!("the service name {:?} cannot be an event's source", config.service),
            class: ErrorClass::Permanent,
            source: Some(error.into()),
        })?;
        let (id, clock) = shared.update(|state, now| state.enter(config.skew, now));
        let producer = Arc::new(MemoryProducer::new(shared.clone(), id, &config, clock.clone()));
        let members = Mutex::default();
        Ok(Self(Arc::new(Client { shared, id, config, service, clock, producer, members })))
    }

    /// The broker.
    pub fn broker(&self) -> MemoryBroker {
        MemoryBroker(self.0.shared.clone())
    }

    /// Its number among the broker's clients, as [`Operation`]s name it.
    pub fn number(&self) -> u64 {
        self.0.id
    }

    /// Ends at once, as a process does that is killed: nothing more is sent, no group is left.
    pub fn kill(&self) {
        for member in lock(&self.0.members).drain(..) {
            member.abort();
        }
        self.0.producer.kill();
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.shared.update(|state, _| state.leave(self.id));
    }
}

impl Transport for Memory {
    fn service(&self) -> &ServiceName {
        &self.0.service
    }

    fn system(&self) -> &'static str {
        "memory"
    }

    fn producer(&self) -> Arc<dyn Producer> {
        self.0.producer.clone()
    }

    fn admin(&self) -> Arc<dyn Admin> {
        Arc::new(MemoryAdmin { shared: self.0.shared.clone(), client: self.0.id })
    }

    fn subscribe(&self, subscription: Subscription) -> Result<Source, TransportError> {
        let Client { shared, id, config, members, .. } = &*self.0;
        let (source, task) = source::start(shared.clone(), *id, config, subscription);
        lock(members).push(task);
        Ok(source)
    }

    fn read(&self, from: Offsets) -> Result<TopicReader, TransportError> {
        let Client { shared, id, config, .. } = &*self.0;
        let (reader, task) = reader::start(shared.clone(), *id, config, from);
        lock(&self.0.members).push(task);
        Ok(reader)
    }

    fn clock(&self) -> &BrokerClock {
        &self.0.clock
    }

    fn consumer_defaults(&self) -> ConsumerDefaults {
        let config = &self.0.config;
        ConsumerDefaults {
            group: config.group.clone(),
            static_member: false,
            retry: config.retry.clone(),
            naming: config.naming.clone(),
            unknown: config.unknown,
            prefetch: config.prefetch,
            commit_every_events: config.commit_every_events,
            commit_every: config.commit_every,
        }
    }

    fn chance(&self) -> Chance {
        Chance::seeded(self.0.shared.update(|state, _| state.draw()))
    }

    fn transactions(&self, id: &str) -> Result<Arc<dyn Transactions>, TransactionError> {
        let Client { shared, id: client, config, clock, .. } = &*self.0;
        let new = MemoryTransactions::new(shared.clone(), *client, id, config, clock.clone());
        Ok(Arc::new(new))
    }

    fn observer(&self) -> Option<Arc<dyn Observer>> {
        let own = self.0.config.observer.as_ref().map(|observed| observed.0.clone());
        own.or_else(|| self.0.shared.observer())
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Memory").field(&self.0.config).finish()
    }
}
