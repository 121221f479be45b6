//! What a cluster answers about its topics, in the words of the port.

use std::collections::BTreeMap;

use rdkafka::admin::{ConfigEntry, ConfigResource, ConfigSource};
use rdkafka::metadata::MetadataTopic;
use rdkafka::types::RDKafkaErrorCode as Code;

use super::errors::class;
use super::ffi::questions::Place;
use crate::event::TopicName;
use crate::transport::{TopicPartition, TopicProperty, TransportError};

/// What the properties are set to; without those that the broker does not tell.
pub(super) fn properties(config: ConfigResource) -> BTreeMap<String, TopicProperty> {
    let set = |entry: &ConfigEntry| entry.source == ConfigSource::DynamicTopic;
    config
        .entries
        .into_iter()
        .filter_map(|entry| {
            let set = set(&entry);
            Some((entry.name, TopicProperty { value: entry.value?, set }))
        })
        .collect()
}

/// The partitions of a list of places.
pub(super) fn partitions(places: &[Place]) -> Vec<TopicPartition> {
    let partition = |place: &Place| {
        let topic = TopicName::new(place.topic.as_str()).expect("a broker has only legal topics");
        TopicPartition { topic, partition: place.partition }
    };
    places.iter().map(partition).collect()
}

/// Whether it says that a topic is not there.
pub(super) fn is_missing(code: Code) -> bool {
    matches!(code, Code::UnknownTopicOrPartition | Code::UnknownTopic)
}

/// Partitions and copies of a topic, where it is there.
pub(super) fn shape(topic: &MetadataTopic) -> Result<Option<(i32, i32)>, TransportError> {
    match topic.error().map(Code::from) {
        None => {
            let partitions = i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX);
            let copies = topic.partitions().iter().map(|partition| partition.replicas().len());
            let copies = copies.min().and_then(|copies| i32::try_from(copies).ok());
            Ok(copies.map(|copies| (partitions, copies)))
        }
        Some(code) if is_missing(code) => Ok(None),
        Some(code) => Err(TransportError {
            what: format!("topic {} cannot be looked at: {code}", topic.name()),
            class: class(code),
            source: None,
        }),
    }
}
