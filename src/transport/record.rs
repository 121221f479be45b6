//! Records as a broker knows them.

use std::fmt;

use bytes::Bytes;

use crate::clock::Millis;
use crate::event::{Headers, TopicName};

/// A record to be sent.
#[derive(Debug, Clone)]
pub struct Record {
    /// Where to.
    pub topic: TopicName,
    /// Which partition; `None` lets the key decide.
    pub partition: Option<i32>,
    /// What keeps it in order.
    pub key: Option<Bytes>,
    /// `None` is a tombstone.
    pub payload: Option<Bytes>,
    /// In wire order.
    pub headers: Headers,
    /// When it was made; `None` lets the client say now.
    pub timestamp: Option<Millis>,
}

/// A record that was read.
#[derive(Debug, Clone)]
pub struct Received {
    /// Where it lies.
    pub topic: TopicName,
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// When it was made or appended, if the broker says.
    pub timestamp: Option<Timestamp>,
    /// What keeps it in order.
    pub key: Option<Bytes>,
    /// `None` is a tombstone.
    pub payload: Option<Bytes>,
    /// In wire order, as they came.
    pub headers: Headers,
}

/// A record's timestamp and whose clock it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timestamp {
    /// The producer's clock.
    Created(Millis),
    /// The broker's clock, at the append.
    Appended(Millis),
}

impl Timestamp {
    /// Unix milliseconds, whoever's clock.
    pub fn millis(self) -> Millis {
        match self {
            Self::Created(millis) | Self::Appended(millis) => millis,
        }
    }
}

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic.
    pub topic: TopicName,
    /// The partition's number.
    pub partition: i32,
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}
