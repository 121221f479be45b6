//! The port of whoever wants to hear what handlers do with each event: a test kit, a console.

use super::{Received, TopicPartition};
use crate::event::{Metadata, TopicName};

/// Hears of every step of every event, in order, on the task that works on it: be short.
pub trait Observer: Send + Sync + 'static {
    /// A handler, or the consumer, took a step with an event.
    fn saw(&self, step: &Step<'_>);
}

/// One step with one record.
#[derive(Debug)]
pub struct Step<'a> {
    /// The consumer group.
    pub group: &'a str,
    /// The record.
    pub record: &'a Received,
    /// What is said about the event; `None` where it could not be read.
    pub metadata: Option<&'a Metadata>,
    /// The handler; `None` where the step is the consumer's.
    pub handler: Option<&'a str>,
    /// Which delivery to this handler it is, from 1.
    pub attempt: u32,
    /// What was done.
    pub what: StepKind<'a>,
}

/// What was done with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StepKind<'a> {
    /// A handler was called.
    Begun,
    /// It succeeded, and what it returned was published, or committed with what it wrote.
    Done,
    /// It had handled the event before, and was not called.
    Duplicate,
    /// It said that the event is to be dropped.
    Dropped {
        /// Why.
        reason: &'a str,
    },
    /// It failed, or the event could not be moved on; tried again, moved or given up by a later step.
    Failed {
        /// Transient, permanent, outage, undecodable.
        kind: &'a str,
        /// What it said.
        error: &'a str,
    },
    /// A retry, dead-letter or quarantine topic has acknowledged it.
    Moved {
        /// The topic.
        to: &'a TopicName,
        /// What kind of topic that is.
        aside: Aside,
    },
    /// No handler here takes it.
    Skipped,
}

/// Where an event goes that a handler could not finish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aside {
    /// To a tier, to be tried again.
    Retry,
    /// To the dead letters.
    DeadLetter,
    /// To quarantine.
    Quarantine,
}

impl Step<'_> {
    /// Where the record lies.
    pub fn partition(&self) -> TopicPartition {
        TopicPartition { topic: self.record.topic.clone(), partition: self.record.partition }
    }
}
