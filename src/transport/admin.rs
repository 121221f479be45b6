//! The port to a broker's topics.

use std::time::Duration;

use async_trait::async_trait;

use super::TransportError;
use crate::event::TopicName;

/// Looks at topics and makes them.
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

    /// Makes topics, all at once. One that is there already is left as it is.
    ///
    /// # Errors
    /// When one cannot be made; the error names each that was not.
    async fn create(&self, topics: &[NewTopic], within: Duration) -> Result<(), TransportError>;
}

/// A topic as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicDescription {
    /// How many partitions it has.
    pub partitions: i32,
    /// Whether records carry the broker's append time. `None`: the broker does not say.
    pub append_time: Option<bool>,
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
}
