//! Reading without a group: from where, and what comes.

use std::fmt;
use std::time::Duration;

use tokio::sync::mpsc;

use super::{Admin, Offsets, RecordBatch, TopicPartition, TransportError};
use crate::clock::Millis;
use crate::event::TopicName;

/// Where a partition is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Position {
    /// Its first record.
    Earliest,
    /// What comes from now on.
    Latest,
    /// This offset; the first record where it lies before that, what comes from now on where it lies behind the end.
    Offset(i64),
    /// The first record that is not older than this, in Unix milliseconds; the end where none is.
    Time(Millis),
}

/// The offsets to read all partitions of a topic from; `None` where the topic is not there.
///
/// # Errors
/// When the broker does not answer within `within`.
pub async fn positions(
    admin: &dyn Admin,
    topic: &TopicName,
    position: Position,
    within: Duration,
) -> Result<Option<Offsets>, TransportError> {
    let found = admin.describe(std::slice::from_ref(topic), within).await?;
    let Some(found) = found.into_iter().next().flatten() else { return Ok(None) };
    let partitions: Vec<_> = (0..found.partitions)
        .map(|partition| (TopicPartition { topic: topic.clone(), partition }, position))
        .collect();
    let offsets = admin.offsets(&partitions, within).await?;
    Ok(Some(partitions.into_iter().map(|(partition, _)| partition).zip(offsets).collect()))
}

/// What a reader tells.
#[derive(Debug)]
pub enum ReadEvent {
    /// Records of one partition, by offset.
    Records(RecordBatch),
    /// The end of a partition was reached; more may come.
    End(TopicPartition),
}

/// Reads partitions of a topic without a group. Dropping it ends it.
pub struct TopicReader(mpsc::Receiver<Result<ReadEvent, TransportError>>);

impl TopicReader {
    /// A reader of what an adapter sends.
    pub fn new(events: mpsc::Receiver<Result<ReadEvent, TransportError>>) -> Self {
        Self(events)
    }

    /// Waits for what comes next. An error that is not fatal is gone on from; `None` comes after one
    /// that is.
    pub async fn next(&mut self) -> Option<Result<ReadEvent, TransportError>> {
        self.0.recv().await
    }
}

impl fmt::Debug for TopicReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TopicReader")
    }
}
