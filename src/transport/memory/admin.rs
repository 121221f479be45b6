//! Topics, looked at and made.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::broker::Shared;
use super::config::TopicConfig;
use super::killed::{Killed, killed};
use crate::error::ErrorClass;
use crate::event::TopicName;
use crate::transport::{
    Admin, GroupDescription, GroupListing, GroupMemberDescription, NewTopic, Offsets, Position,
    TopicDescription, TopicId, TopicPartition, TransportError,
};

/// How many brokers it says there are: enough for the copies that services declare.
const BROKERS: i32 = 3;

pub(super) struct MemoryAdmin {
    pub(super) shared: Arc<Shared>,
    pub(super) client: u64,
    pub(super) killed: Killed,
}

impl MemoryAdmin {
    async fn reach(&self, within: Duration, call: &str) -> Result<(), TransportError> {
        let deadline = Instant::now() + within;
        self.shared.travel().await;
        let reached = self.shared.reach(self.client, deadline).await;
        if self.killed.is_set() {
            return Err(killed(call));
        }
        if reached {
            return Ok(());
        }
        Err(TransportError {
            what: format!("the broker did not answer within {within:?}"),
            class: ErrorClass::Retriable,
            source: None,
        })
    }
}

#[async_trait]
impl Admin for MemoryAdmin {
    async fn describe(
        &self,
        topics: &[TopicName],
        within: Duration,
    ) -> Result<Vec<Option<TopicDescription>>, TransportError> {
        self.reach(within, "describe").await?;
        Ok(self.shared.update(|state, _| {
            state.look_for(topics);
            let describe = |config: TopicConfig| TopicDescription {
                partitions: config.partitions,
                append_time: Some(config.append_time),
                replication: Some(config.replication),
                configuration: config.described(),
            };
            topics.iter().map(|topic| state.topic_config(topic).map(describe)).collect()
        }))
    }

    async fn topic_id(
        &self,
        topic: &TopicName,
        within: Duration,
    ) -> Result<Option<TopicId>, TransportError> {
        self.reach(within, "ask for a topic's id").await?;
        let id = self.shared.update(|state, _| state.topic_id(topic));
        Ok(id.map(|id| TopicId::new(id.to_string())))
    }

    async fn create(&self, topics: &[NewTopic], within: Duration) -> Result<(), TransportError> {
        self.reach(within, "create").await?;
        self.shared.update(|state, _| {
            let mut failed = Vec::new();
            for topic in topics {
                if state.topic_config(&topic.name).is_some() {
                    continue;
                }
                match wanted(topic, state.defaults()) {
                    Ok(config) => state.create_topic(topic.name.clone(), config),
                    Err(problem) => failed.push(format!("{} ({problem})", topic.name)),
                }
            }
            if failed.is_empty() {
                return Ok(());
            }
            Err(TransportError {
                what: format!("these topics could not be created: {}", failed.join(", ")),
                class: ErrorClass::Permanent,
                source: None,
            })
        })
    }

    async fn topics(&self, within: Duration) -> Result<Vec<TopicName>, TransportError> {
        self.reach(within, "list topics").await?;
        let topics = self.shared.update(|state, _| state.topics());
        Ok(topics.into_iter().map(|(name, _)| name).collect())
    }

    async fn brokers(&self, within: Duration) -> Result<Option<i32>, TransportError> {
        self.reach(within, "count brokers").await?;
        Ok(Some(BROKERS))
    }

    async fn groups(&self, within: Duration) -> Result<Vec<GroupListing>, TransportError> {
        self.reach(within, "list groups").await?;
        let groups = self.shared.update(|state, _| state.listed_groups());
        let listing = |(group, state): (String, &str)| GroupListing { group, state: state.into() };
        Ok(groups.into_iter().map(listing).collect())
    }

    async fn group(
        &self,
        group: &str,
        within: Duration,
    ) -> Result<Option<GroupDescription>, TransportError> {
        self.reach(within, "describe a group").await?;
        let Some(members) = self.shared.update(|state, _| state.given(group)) else {
            return Ok(None);
        };
        let state = if members.is_empty() { "Empty" } else { "Stable" };
        let member = |(id, partitions): (u64, _)| GroupMemberDescription {
            id: id.to_string(),
            instance: None,
            client: format!("memory-{id}"),
            host: "memory".into(),
            partitions,
        };
        let members = members.into_iter().map(member).collect();
        Ok(Some(GroupDescription { state: state.into(), assignor: None, members }))
    }

    async fn committed(&self, group: &str, within: Duration) -> Result<Offsets, TransportError> {
        self.reach(within, "ask for commits").await?;
        Ok(self.shared.update(|state, _| state.all_committed(group)))
    }

    async fn offsets(
        &self,
        places: &[(TopicPartition, Position)],
        within: Duration,
    ) -> Result<Vec<i64>, TransportError> {
        self.reach(within, "ask for offsets").await?;
        self.shared.update(|state, _| {
            let offset = |(partition, position): &(TopicPartition, Position)| {
                state.offset_of(partition, *position).ok_or_else(|| TransportError {
                    what: format!("there is no partition {partition}"),
                    class: ErrorClass::Permanent,
                    source: None,
                })
            };
            places.iter().map(offset).collect()
        })
    }

    fn makes_what_is_missing(&self) -> bool {
        self.shared.update(|state, _| state.makes_what_is_missing())
    }
}

/// The settings of a new topic.
fn wanted(topic: &NewTopic, mut config: TopicConfig) -> Result<TopicConfig, String> {
    config.partitions = topic.partitions.unwrap_or(config.partitions);
    config.append_time = topic.append_time;
    config.replication = topic.replication.unwrap_or(config.replication);
    if config.partitions < 1 {
        return Err(format!("{} partitions", config.partitions));
    }
    if !(1..=BROKERS).contains(&config.replication) {
        return Err(format!("{} copies of {BROKERS} brokers", config.replication));
    }
    for (name, value) in &topic.configuration {
        config.set(name, value)?;
    }
    Ok(config)
}
