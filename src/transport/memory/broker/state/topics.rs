//! Topics: made, grown, looked at, read.

use super::super::super::config::TopicConfig;
use super::super::log::Log;
use super::{State, Topic, count_in};
use crate::event::TopicName;
use crate::transport::{Received, TopicPartition};

impl State {
    pub(crate) fn create_topic(&mut self, name: TopicName, config: TopicConfig) {
        let count = usize::try_from(config.partitions.max(1)).unwrap_or(1);
        let ids = &mut self.topic_ids;
        self.topics.entry(name).or_insert_with(|| {
            *ids += 1;
            let logs = std::iter::repeat_with(Log::default).take(count).collect();
            Topic { id: *ids, config, logs }
        });
        self.balance();
    }

    /// Deletes a topic, and what groups have committed of it.
    pub(crate) fn delete_topic(&mut self, name: &TopicName) {
        if self.topics.remove(name).is_some() {
            self.groups.values_mut().for_each(|group| group.forget_topic(name));
            self.balance();
        }
    }

    pub(crate) fn topic_id(&self, name: &TopicName) -> Option<u64> {
        self.topics.get(name).map(|topic| topic.id)
    }

    pub(crate) fn add_partitions(&mut self, topic: &TopicName, partitions: i32) {
        if let Some(topic) = self.topics.get_mut(topic) {
            let count = usize::try_from(partitions).unwrap_or_default().max(topic.logs.len());
            topic.logs.resize_with(count, Log::default);
            self.balance();
        }
    }

    pub(crate) fn set_max_record(&mut self, topic: &TopicName, bytes: usize) {
        if let Some(topic) = self.topics.get_mut(topic) {
            topic.config.max_record = bytes;
        }
    }

    pub(crate) fn topics(&self) -> Vec<(TopicName, i32)> {
        self.topics.keys().map(|name| (name.clone(), self.partitions(name))).collect()
    }

    pub(crate) fn topic_config(&self, topic: &TopicName) -> Option<TopicConfig> {
        let found = self.topics.get(topic)?;
        Some(TopicConfig { partitions: self.partitions(topic), ..found.config.clone() })
    }

    /// The settings of a topic that is made without any.
    pub(crate) fn defaults(&self) -> TopicConfig {
        self.config.topics.clone()
    }

    /// Whether topics that are missing are made without being asked to.
    pub(crate) fn makes_what_is_missing(&self) -> bool {
        self.config.create_when_asked
    }

    /// Makes those of these topics that are not there, if that is set: alike, so that retry topics
    /// have as many partitions as the main topic that is looked for with them.
    pub(crate) fn look_for(&mut self, topics: &[TopicName]) {
        if !self.config.create_when_asked {
            return;
        }
        let mut config = self.defaults();
        let there = topics.iter().map(|topic| self.partitions(topic)).max().unwrap_or_default();
        config.partitions = config.partitions.max(there);
        for topic in topics {
            self.create_topic(topic.clone(), config.clone());
        }
    }

    pub(super) fn partitions(&self, topic: &TopicName) -> i32 {
        count_in(&self.topics, topic)
    }

    pub(super) fn log(&mut self, tp: &TopicPartition) -> Option<&mut Log> {
        let index = usize::try_from(tp.partition).ok()?;
        self.topics.get_mut(&tp.topic)?.logs.get_mut(index)
    }

    pub(crate) fn ends(&self, topic: &TopicName) -> Vec<(i32, i64)> {
        let logs = self.topics.get(topic).into_iter().flat_map(|topic| &topic.logs);
        (0..).zip(logs.map(Log::end)).collect()
    }

    pub(crate) fn records(&self, topic: &TopicName) -> Vec<Received> {
        let logs = self.topics.get(topic).into_iter().flat_map(|topic| &topic.logs);
        logs.flat_map(|log| log.records().map(|record| (**record).clone())).collect()
    }
}
