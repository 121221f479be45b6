//! Ports to a broker, and the adapters behind them.
//!
//! The ports know topics, partitions, offsets and groups, and no client library.

mod admin;
mod differences;
mod groups;
pub(crate) mod look;
mod observer;
mod problems;
mod producer;
mod read;
mod record;
mod source;
mod topics;
mod transaction;

#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg(feature = "testing")]
pub mod memory;

use std::sync::Arc;
use std::time::Duration;

pub use admin::{Admin, NewTopic, TopicDescription, TopicId, TopicProperty};
pub use differences::{TopicDifference, TopicDifferences};
pub use groups::{GroupDescription, GroupListing, GroupMemberDescription, PartitionLag, group_lag};
pub use observer::{Aside, Observer, Step, StepKind};
pub use problems::TopicProblem;
pub use producer::{Batch, Delivered, DeliveryCounts, ProduceError, Producer, Receipt};
pub use read::{Position, ReadEvent, TopicReader, positions};
pub use record::{Received, Record, Timestamp, TopicPartition};
pub use source::{
    Assigned, CommitFailed, Follower, KeptOffsets, Offsets, RecordBatch, RevokeReply, Source,
    SourceControl, SourceEvent, Subscription,
};
pub use topics::{TopicNeed, TopicSetup, TopicsError, prepare_topics};
pub use transaction::{GroupMember, TransactionError, Transactions};

pub(crate) use self::groups::lag_of;
#[cfg(feature = "cli")]
pub(crate) use self::{look::Look, problems::advised};
use crate::clock::BrokerClock;
use crate::error::{BoxError, ErrorClass};
use crate::event::Source as ServiceName;
use crate::retry::{Chance, RetryPolicy, UnknownType};
use crate::topic::TopicNaming;

/// A broker client: where publishers and consumers get what they need.
pub trait Transport: Send + Sync + 'static {
    /// The service that this client belongs to: the source of what it publishes.
    fn service(&self) -> &ServiceName;

    /// The kind of broker, as `messaging.system` names it.
    fn system(&self) -> &'static str;

    /// The producer; one per transport, shared.
    fn producer(&self) -> Arc<dyn Producer>;

    /// Topics: what is there, what is to be made.
    fn admin(&self) -> Arc<dyn Admin>;

    /// Joins a group.
    ///
    /// # Errors
    /// When the client refuses the settings. A broker that is away is no error: the source goes on
    /// trying and its health says so.
    fn subscribe(&self, subscription: Subscription) -> Result<Source, TransportError>;

    /// Reads partitions of one topic from these offsets on, without a group: nothing is committed, and no group is
    /// touched. Default: there is no such reader.
    ///
    /// # Errors
    /// When the client refuses. A broker that is away is no error: the reader goes on trying.
    fn read(&self, _from: Offsets) -> Result<TopicReader, TransportError> {
        Err(TransportError {
            what: format!("{} has no reader without a group", self.system()),
            class: ErrorClass::Permanent,
            source: None,
        })
    }

    /// The broker's clock, as far as this client knows it.
    fn clock(&self) -> &BrokerClock;

    /// Where its consumers get their chance from: jitter, and which lanes share a task. Seeded, it
    /// lets a run be repeated. Default: another one each time.
    fn chance(&self) -> Chance {
        Chance::random()
    }

    /// What a consumer does where its builder says nothing.
    fn consumer_defaults(&self) -> ConsumerDefaults;

    /// A producer of transactions under this id, of which one at a time is alive over all processes.
    ///
    /// # Errors
    /// Where the transport has no transactions, which is the default.
    fn transactions(&self, _id: &str) -> Result<Arc<dyn Transactions>, TransactionError> {
        Err(TransactionError::Unsupported { system: self.system() })
    }

    /// Who wants to hear of each step of each event. Default: nobody.
    fn observer(&self) -> Option<Arc<dyn Observer>> {
        None
    }
}

/// A client that is shared is a client.
impl<T: Transport + ?Sized> Transport for Arc<T> {
    fn service(&self) -> &ServiceName {
        (**self).service()
    }

    fn system(&self) -> &'static str {
        (**self).system()
    }

    fn producer(&self) -> Arc<dyn Producer> {
        (**self).producer()
    }

    fn admin(&self) -> Arc<dyn Admin> {
        (**self).admin()
    }

    fn subscribe(&self, subscription: Subscription) -> Result<Source, TransportError> {
        (**self).subscribe(subscription)
    }

    fn read(&self, from: Offsets) -> Result<TopicReader, TransportError> {
        (**self).read(from)
    }

    fn clock(&self) -> &BrokerClock {
        (**self).clock()
    }

    fn chance(&self) -> Chance {
        (**self).chance()
    }

    fn consumer_defaults(&self) -> ConsumerDefaults {
        (**self).consumer_defaults()
    }

    fn transactions(&self, id: &str) -> Result<Arc<dyn Transactions>, TransactionError> {
        (**self).transactions(id)
    }

    fn observer(&self) -> Option<Arc<dyn Observer>> {
        (**self).observer()
    }
}

/// What a transport's configuration says about consumers.
#[derive(Debug, Clone)]
pub struct ConsumerDefaults {
    /// The group of a consumer that names none.
    pub group: Option<String>,
    /// The member has a name of its own in the group, so there can be only one of it.
    pub static_member: bool,
    /// How failed events are retried.
    pub retry: RetryPolicy,
    /// How retry, dead-letter and quarantine topics are named.
    pub naming: TopicNaming,
    /// What is done with an event that no handler takes.
    pub unknown: UnknownType,
    /// Events of a partition that may be in memory.
    pub prefetch: usize,
    /// A commit after so many events,
    pub commit_every_events: u64,
    /// and after so much time.
    pub commit_every: Duration,
}

/// The broker does not answer.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the broker has not answered for {:.1} s: {reason}", since.as_secs_f64())]
pub struct Unreachable {
    /// For how long.
    pub since: Duration,
    /// What the client said last.
    pub reason: String,
}

/// A call to the broker, or the client itself, failed.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct TransportError {
    /// What was tried, on what, and what to do.
    pub what: String,
    /// What can be done about it.
    pub class: ErrorClass,
    /// What the client said.
    pub source: Option<BoxError>,
}
