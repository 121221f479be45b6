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
mod killed;
mod producer;
mod reader;
mod source;
mod transactions;

use std::sync::{Arc, Mutex, Weak};

use tokio::task::AbortHandle;

pub use broker::{
    Backlog, Fault, FaultPlan, Lag, MemoryBroker, MemoryBrokerBuilder, Operation, Reader, Watcher,
    partition_of,
};
pub use config::{Cleanup, Isolation, MemoryConfig, OffsetReset, TopicConfig};

use self::admin::MemoryAdmin;
use self::broker::{Shared, Steps};
use self::killed::{Killed, killed};
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
    killed: Killed,
    producer: Arc<MemoryProducer>,
    members: Mutex<Vec<AbortHandle>>,
    transactions: Mutex<Vec<Weak<MemoryTransactions>>>,
}

impl Memory {
    pub(self) fn new(shared: Arc<Shared>, config: MemoryConfig) -> Result<Self, TransportError> {
        let service = ServiceName::new(&config.service).map_err(|error| TransportError {
            what: format!("the service name {:?} cannot be an event's source", config.service),
            class: ErrorClass::Permanent,
            source: Some(error.into()),
        })?;
        let (id, clock) = shared.update(|state, now| state.enter(config.skew, now));
        let killed = Killed::default();
        let producer =
            MemoryProducer::new(shared.clone(), id, &config, clock.clone(), killed.clone());
        Ok(Self(Arc::new(Client {
            shared,
            id,
            config,
            service,
            clock,
            killed,
            producer: Arc::new(producer),
            members: Mutex::default(),
            transactions: Mutex::default(),
        })))
    }

    /// The broker.
    pub fn broker(&self) -> MemoryBroker {
        MemoryBroker(self.0.shared.clone())
    }

    /// Its number among the broker's clients, as [`Operation`]s name it.
    pub fn number(&self) -> u64 {
        self.0.id
    }

    /// Ends at once, as a process does that is killed: nothing more is sent, no group is left, an open
    /// transaction stays open until the broker aborts it. Nothing works after it: what is called
    /// answers an error, and consumers of this client fail.
    pub fn kill(&self) {
        // With the broker held: what is under way there is over.
        self.0.shared.update(|_, _| self.cut());
        for member in lock(&self.0.members).drain(..) {
            member.abort();
        }
        self.0.producer.kill();
        for transactions in lock(&self.0.transactions).drain(..).filter_map(|weak| weak.upgrade()) {
            transactions.kill();
        }
    }

    /// Lets nothing of it reach the broker any more, also when it is called from there.
    pub(crate) fn cut(&self) {
        self.0.killed.set();
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
        let Client { shared, id, killed, .. } = &*self.0;
        Arc::new(MemoryAdmin { shared: shared.clone(), client: *id, killed: killed.clone() })
    }

    fn subscribe(&self, subscription: Subscription) -> Result<Source, TransportError> {
        let Client { shared, id, config, members, killed: cut, .. } = &*self.0;
        if cut.is_set() {
            return Err(killed("subscribe"));
        }
        let (source, task) = source::start(shared.clone(), *id, config, subscription, cut.clone());
        lock(members).push(task);
        Ok(source)
    }

    fn read(&self, from: Offsets) -> Result<TopicReader, TransportError> {
        let Client { shared, id, config, killed: cut, .. } = &*self.0;
        if cut.is_set() {
            return Err(killed("read"));
        }
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
        let Client { shared, id: client, config, clock, killed: cut, transactions, .. } = &*self.0;
        if cut.is_set() {
            return Err(killed("transactions").into());
        }
        let (shared, clock, cut) = (shared.clone(), clock.clone(), cut.clone());
        let new = Arc::new(MemoryTransactions::new(shared, *client, id, config, clock, cut));
        lock(transactions).push(Arc::downgrade(&new));
        Ok(new)
    }

    fn observer(&self) -> Option<Arc<dyn Observer>> {
        let steps = Steps { watchers: self.0.shared.watchers(), client: self.0.id };
        (!steps.watchers.is_empty()).then(|| Arc::new(steps) as Arc<dyn Observer>)
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Memory").field(&self.0.config).finish()
    }
}
