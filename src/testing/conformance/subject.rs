//! What is put to the test: a broker, its clients, and what is said about them beforehand.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::error::BoxError;
use crate::event::TopicName;
use crate::transport::Transport;

/// A broker and the transport that reaches it.
///
/// All clients that one subject makes reach the same broker: what one of them publishes another one
/// reads.
#[async_trait]
pub trait Subject: Send + Sync + 'static {
    /// What stands above its report.
    fn name(&self) -> &str;

    /// A new client, as a process of its own would have it: it shares nothing with the others but
    /// the broker.
    ///
    /// # Errors
    /// When there is no client; the behaviour fails with it.
    fn client(&self, wanted: &ClientSpec) -> Result<Arc<dyn Transport>, BoxError>;

    /// What it cannot do, each with its reason. Default: nothing.
    ///
    /// A behaviour that needs it is tried all the same: one that passes shows that the declaration
    /// is out of date, and the report says so.
    fn lacks(&self) -> Vec<Lack> {
        Vec::new()
    }

    /// How long things may take, and how large they may be.
    fn limits(&self) -> Limits {
        Limits::default()
    }

    /// What stands before the name of each topic and group of a run. Default: nothing; the run's own
    /// random name follows it in any case.
    fn prefix(&self) -> &str {
        ""
    }

    /// A client whose members can die without leaving their group. Default: there is none; declare
    /// [`Capability::Death`] as lacking then.
    ///
    /// # Errors
    /// When there is no client.
    fn mortal(&self, wanted: &ClientSpec) -> Result<Option<Mortal>, BoxError> {
        let _ = wanted;
        Ok(None)
    }

    /// Deletes a topic, for which transports have no call. Default: it fails; declare
    /// [`Capability::Deletion`] as lacking then.
    ///
    /// # Errors
    /// When the topic cannot be deleted; the behaviour fails with it.
    async fn delete_topic(&self, topic: &TopicName) -> Result<(), BoxError> {
        Err(format!("the subject has no way to delete {topic}").into())
    }
}

/// What a client has to be.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClientSpec {
    /// The service that it belongs to: what [`Transport::service`] answers.
    pub service: String,
    /// Where its groups begin on a partition without a committed offset, followers excepted.
    pub start: Start,
}

impl ClientSpec {
    pub(super) fn new(service: &str) -> Self {
        Self { service: service.into(), start: Start::Earliest }
    }
}

/// Where a group begins on a partition without a committed offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Start {
    /// With the first record that is there.
    Earliest,
    /// With what comes from then on.
    Latest,
}

/// A client that can be killed.
pub struct Mortal {
    /// The client.
    pub client: Arc<dyn Transport>,
    /// Ends its membership without a word to the broker: its groups must find out by themselves. The
    /// suite drops the client's sources right after.
    pub kill: Box<dyn FnOnce() + Send>,
}

impl fmt::Debug for Mortal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mortal")
    }
}

/// Something that a transport may be unable to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Capability {
    /// A key's partition is the one that Kafka's own clients choose (`murmur2`).
    KeyPartitions,
    /// A header may have no value, which is not the same as an empty one.
    HeadersWithoutValue,
    /// A header's name may be any bytes.
    HeaderNameBytes,
    /// A key may be empty, which is not the same as none.
    EmptyKeys,
    /// There is a size above which a record is refused.
    SizeLimit,
    /// Topics have properties that are set when they are made, and the broker says them.
    TopicProperties,
    /// Each topic has an id, which tells it from others of its name.
    TopicIds,
    /// The subject can delete topics.
    Deletion,
    /// Topics can keep the broker's append time.
    AppendTime,
    /// Topics keep the time that the producer said.
    ProducerTime,
    /// A group may begin with what comes from then on.
    StartAtLatest,
    /// Members share a group's partitions and take over from each other.
    Rebalance,
    /// Topics can follow the partitions of another one.
    Followers,
    /// Groups can be looked at: who is in them, and their offsets.
    Groups,
    /// Offsets can be asked for, and partitions read without a group.
    Offsets,
    /// Offsets can be asked for by the time of records.
    OffsetsByTime,
    /// A member that dies without leaving is replaced.
    Death,
    /// There is a producer of transactions.
    Transactions,
    /// What is in a transaction is visible once all of it is committed, and never after an abort.
    Atomicity,
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KeyPartitions => "key partitions",
            Self::HeadersWithoutValue => "headers without value",
            Self::HeaderNameBytes => "header names of any bytes",
            Self::EmptyKeys => "empty keys",
            Self::SizeLimit => "size limit",
            Self::TopicProperties => "topic properties",
            Self::TopicIds => "topic ids",
            Self::Deletion => "deletion of topics",
            Self::AppendTime => "append time",
            Self::ProducerTime => "producer time",
            Self::StartAtLatest => "start at latest",
            Self::Rebalance => "rebalance",
            Self::Followers => "followers",
            Self::Groups => "groups",
            Self::Offsets => "offsets",
            Self::OffsetsByTime => "offsets by time",
            Self::Death => "death of a member",
            Self::Transactions => "transactions",
            Self::Atomicity => "atomicity",
        })
    }
}

/// Something that a transport declares that it cannot do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack {
    /// What.
    pub capability: Capability,
    /// Why, for the report.
    pub reason: &'static str,
}

impl Lack {
    /// `capability` is lacking because of `reason`.
    pub fn new(capability: Capability, reason: &'static str) -> Self {
        Self { capability, reason }
    }
}

/// How long things may take with a subject, and how large they may be.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Limits {
    /// How long one expected thing is waited for. Default 30 s.
    pub patience: Duration,
    /// How long one behaviour may take in all. Default 2 min.
    pub behaviour: Duration,
    /// How long the group keeps a member that is silent: a member that leaves must be replaced in
    /// less. Default 10 s.
    pub session: Duration,
    /// How often the broker may refuse the commit of a revoke, and say so, before that is a failure: it
    /// is tried again with another group. Default 0: Kafka takes such a commit from any member of the
    /// group's generation.
    pub refusals: usize,
    /// The first retry tier; the second is twice as long. Default 500 ms.
    pub tier: Duration,
    /// The payload of a large record, in bytes: it must pass. Default 900 KiB.
    pub large: usize,
    /// The payload of a record that is too large, in bytes: it must be refused. Default 16 MiB.
    pub too_large: usize,
}

impl Limits {
    /// Sets how long one expected thing is waited for.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Sets how long one behaviour may take in all.
    #[must_use]
    pub fn behaviour(mut self, behaviour: Duration) -> Self {
        self.behaviour = behaviour;
        self
    }

    /// Sets how long the group keeps a member that is silent.
    #[must_use]
    pub fn session(mut self, session: Duration) -> Self {
        self.session = session;
        self
    }

    /// Sets how often the broker may refuse the commit of a revoke.
    #[must_use]
    pub fn refusals(mut self, refusals: usize) -> Self {
        self.refusals = refusals;
        self
    }

    /// Sets the first retry tier, in whole milliseconds.
    #[must_use]
    pub fn tier(mut self, tier: Duration) -> Self {
        self.tier = tier;
        self
    }

    /// Sets the payloads, in bytes, of a record that must pass and of one that must be refused.
    #[must_use]
    pub fn sizes(mut self, large: usize, too_large: usize) -> Self {
        (self.large, self.too_large) = (large, too_large);
        self
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            patience: Duration::from_secs(30),
            behaviour: Duration::from_secs(120),
            session: Duration::from_secs(10),
            refusals: 0,
            tier: Duration::from_millis(500),
            large: 900 * 1024,
            too_large: 16 * 1024 * 1024,
        }
    }
}
