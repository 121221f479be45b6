//! The port to a broker's topics and groups.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

use super::{GroupDescription, GroupListing, Offsets, Position, TopicPartition, TransportError};
use crate::error::ErrorClass;
use crate::event::TopicName;

/// Looks at topics and groups, and makes topics. It changes no group.
#[async_trait]
pub trait Admin: Send + Sync + 'static {
    /// Describes topics, all at once; `None` for one that is not there.
    ///
    /// # Errors
    /// When the broker does not answer within `within`, or denies access to a topic.
    async fn describe(
        &self,
        topics: &[TopicName],
        within: Duration,
    ) -> Result<Vec<Option<TopicDescription>>, TransportError>;

    /// What tells a topic from another one that had its name before it or gets it later; `None` where the topic
    /// is not there, or the cluster does not say it. Beside [`describe`](Self::describe) because it is a question
    /// of its own, which few need answered. Default: it is not said.
    ///
    /// # Errors
    /// When the broker does not answer within `within`.
    async fn topic_id(
        &self,
        _topic: &TopicName,
        _within: Duration,
    ) -> Result<Option<TopicId>, TransportError> {
        Ok(None)
    }

    /// How many partitions topics have; `None` for one that is not there. Default: [`describe`](Self::describe) says it.
    ///
    /// # Errors
    /// As [`describe`](Self::describe).
    async fn partitions(
        &self,
        topics: &[TopicName],
        within: Duration,
    ) -> Result<Vec<Option<i32>>, TransportError> {
        let found = self.describe(topics, within).await?;
        Ok(found.into_iter().map(|found| found.map(|is| is.partitions)).collect())
    }

    /// Makes topics, all at once. One that is there already is left as it is.
    ///
    /// # Errors
    /// When one cannot be made; the error names each that was not.
    async fn create(&self, topics: &[NewTopic], within: Duration) -> Result<(), TransportError>;

    /// The names of all topics that this client may see, sorted.
    ///
    /// # Errors
    /// When the broker does not answer within `within`.
    async fn topics(&self, within: Duration) -> Result<Vec<TopicName>, TransportError>;

    /// How many brokers the cluster has: the most copies that a topic can have. `None` where copies
    /// are unknown.
    ///
    /// # Errors
    /// When the broker does not answer within `within`.
    async fn brokers(&self, within: Duration) -> Result<Option<i32>, TransportError>;

    /// All groups, by name. Default: it cannot be said.
    ///
    /// # Errors
    /// When a broker does not answer within `within`.
    async fn groups(&self, _within: Duration) -> Result<Vec<GroupListing>, TransportError> {
        Err(unsupported("list groups"))
    }

    /// A group's state and members; `None` where it is not there, or hidden from this client. Default:
    /// it cannot be said.
    ///
    /// # Errors
    /// When its coordinator does not answer within `within`, or denies access.
    async fn group(
        &self,
        _group: &str,
        _within: Duration,
    ) -> Result<Option<GroupDescription>, TransportError> {
        Err(unsupported("describe groups"))
    }

    /// Every offset that a group has committed, retry topics included, by partition. Default: it cannot
    /// be said.
    ///
    /// # Errors
    /// When its coordinator does not answer within `within`, or denies access.
    async fn committed(&self, _group: &str, _within: Duration) -> Result<Offsets, TransportError> {
        Err(unsupported("tell a group's offsets"))
    }

    /// The offsets of these places, in their order. Default: it cannot be said.
    ///
    /// # Errors
    /// When a broker does not answer within `within`, or a partition is not there.
    async fn offsets(
        &self,
        _places: &[(TopicPartition, Position)],
        _within: Duration,
    ) -> Result<Vec<i64>, TransportError> {
        Err(unsupported("tell offsets"))
    }

    /// Whether a topic that is missing is made when it is looked for: a broker for tests. Default: no.
    fn makes_what_is_missing(&self) -> bool {
        false
    }
}

fn unsupported(what: &str) -> TransportError {
    TransportError {
        what: format!("this transport cannot {what}"),
        class: ErrorClass::Permanent,
        source: None,
    }
}

/// A topic's id, as its cluster writes it: given when the topic is made, and to no other topic. One that is
/// deleted and made anew under its name has another one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TopicId(Box<str>);

impl TopicId {
    /// The id that a cluster writes so.
    pub fn new(id: impl Into<Box<str>>) -> Self {
        Self(id.into())
    }

    /// As the cluster writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A topic as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicDescription {
    /// How many partitions it has.
    pub partitions: i32,
    /// Whether records carry the broker's append time. `None`: the broker does not say.
    pub append_time: Option<bool>,
    /// How many copies there are of each partition; of the one with the fewest, where they differ.
    /// `None`: the broker does not say.
    pub replication: Option<i32>,
    /// Its properties by the broker's names; empty where the broker does not say them.
    pub configuration: BTreeMap<String, TopicProperty>,
}

/// A topic's property as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicProperty {
    /// Its value.
    pub value: String,
    /// Whether it was set for this topic; else it is the broker's default.
    pub set: bool,
}

/// A topic to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: TopicName,
    /// How many partitions; `None` is the broker's default.
    pub partitions: Option<i32>,
    /// How many copies; `None` is the broker's default.
    pub replication: Option<i32>,
    /// Whether records carry the broker's append time instead of the producer's.
    pub append_time: bool,
    /// Its properties by the broker's names; what is not here is the broker's default.
    pub configuration: BTreeMap<String, String>,
}

impl NewTopic {
    /// A topic that is all the broker's defaults.
    pub fn new(name: TopicName) -> Self {
        Self {
            name,
            partitions: None,
            replication: None,
            append_time: false,
            configuration: BTreeMap::new(),
        }
    }
}
