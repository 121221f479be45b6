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
use crate::transport::{Admin, NewTopic, TopicDescription, TransportError};

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
            };
            topics.iter().map(|topic| state.topic_config(topic).map(describe)).collect()
        }))
    }

    async fn create(&self, topics: &[NewTopic], within: Duration) -> Result<(), TransportError> {
        self.reach(within, "create").await?;
        self.shared.update(|state, _| {
            for topic in topics {
                let mut config = state.defaults();
                config.partitions = topic.partitions.unwrap_or(config.partitions);
                config.append_time = topic.append_time;
                state.create_topic(topic.name.clone(), config);
            }
        });
        Ok(())
    }
}
