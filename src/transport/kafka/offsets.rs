//! Partitions and offsets as librdkafka lists them, and as a group keeps them elsewhere.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::runtime::Handle;

use crate::event::TopicName;
use crate::transport::{KeptOffsets, Offsets, TopicPartition};

/// Partitions without offsets.
pub(super) fn list(partitions: &[TopicPartition]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        list.add_partition(partition.topic.as_str(), partition.partition);
    }
    list
}

/// `offset` is the next one to read, as Kafka commits it.
pub(super) fn offset_list(offsets: &[(TopicPartition, i64)]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for (partition, offset) in offsets {
        list.add_partition_offset(
            partition.topic.as_str(),
            partition.partition,
            Offset::Offset(*offset),
        )
        .expect("an offset from 0 up");
    }
    list
}

/// What is in a list; `None` where it says no absolute offset.
pub(super) fn offsets(list: &TopicPartitionList) -> Vec<(TopicPartition, Option<i64>)> {
    let elements = list.elements();
    let offset_of = |offset| match offset {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    };
    elements
        .iter()
        .filter_map(|element| {
            let topic = TopicName::new(element.topic()).ok()?;
            Some((
                TopicPartition { topic, partition: element.partition() },
                offset_of(element.offset()),
            ))
        })
        .collect()
}

/// What a group keeps elsewhere, and what runs the question.
pub(super) struct Kept(Arc<dyn KeptOffsets>, Handle);

impl Kept {
    pub(super) fn new(kept: Arc<dyn KeptOffsets>) -> Self {
        Self(kept, Handle::current())
    }

    /// Asks and waits: on the member's own thread, which runs no tasks.
    pub(super) fn offsets(&self, within: Duration) -> Result<Offsets, String> {
        let Self(kept, runtime) = self;
        let asked = async { tokio::time::timeout(within, kept.offsets()).await };
        match runtime.block_on(asked) {
            // No offset is below 0; what somebody wrote there says nothing.
            Ok(Ok(offsets)) => Ok(offsets.into_iter().filter(|(_, offset)| *offset >= 0).collect()),
            Ok(Err(error)) => Err(crate::error::chain(&*error)),
            Err(_) => Err("no answer came".into()),
        }
    }
}
