//! What a consumer is made of, as data: for people who want to know before it runs.

use super::handler::Reads;
use super::running::Consumer;
use crate::event::TopicName;
use crate::retry::{RetryPolicy, Tier};
use crate::transport::TopicNeed;

/// What a consumer reads, who handles it, and where it goes when that fails.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ConsumerDescription {
    /// The consumer group.
    pub group: String,
    /// The topics that it reads, by name.
    pub topics: Vec<TopicRoutes>,
    /// The topics that its handlers are known to write to.
    pub writes: Vec<TopicName>,
    /// How failed events are retried.
    pub retry: RetryPolicy,
    /// How many members of the group run in one process.
    pub members: usize,
}

/// A topic that a consumer reads, and those beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicRoutes {
    /// The topic.
    pub topic: TopicName,
    /// What is read of it.
    pub routes: Vec<RouteDescription>,
    /// The retry topics, shortest delay first.
    pub tiers: Vec<(Tier, TopicName)>,
    /// Where dead letters go; `None` where there are none.
    pub dead_letter: Option<TopicName>,
    /// Where records go that could not be read.
    pub quarantine: TopicName,
}

/// Who handles what.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RouteDescription {
    /// One event, or everything.
    pub reads: Reads,
    /// The handlers' names; none where the event is passed over.
    pub handlers: Vec<String>,
}

impl Consumer {
    /// What it is made of.
    pub fn describe(&self) -> ConsumerDescription {
        let topic = |main: &std::sync::Arc<super::plan::MainTopic>| TopicRoutes {
            topic: main.name.clone(),
            routes: main
                .routes
                .iter()
                .map(|route| RouteDescription {
                    reads: route.reads,
                    handlers: route.handlers.iter().map(|h| h.name.to_string()).collect(),
                })
                .collect(),
            tiers: main.around.tiers.clone(),
            dead_letter: main.around.dead_letter.clone(),
            quarantine: main.around.quarantine.clone(),
        };
        let mut writes: Vec<_> =
            self.writes.iter().map(|TopicNeed { name, .. }| name.clone()).collect();
        writes.sort();
        writes.dedup();
        ConsumerDescription {
            group: self.group().to_owned(),
            topics: self.topics.mains().into_iter().map(topic).collect(),
            writes,
            retry: self.retry.clone(),
            members: self.members,
        }
    }
}
