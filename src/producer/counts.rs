//! Messages by what became of them: counted, and told to metrics hooks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::event::TopicName;

/// What a metrics hook is told.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Measured<'a> {
    /// Where the message goes.
    pub topic: &'a TopicName,
    /// What has become of it.
    pub outcome: SendOutcome,
    /// Attempts so far.
    pub attempt: u32,
    /// Since it was given to the producer.
    pub took: Duration,
}

/// What a count is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SendOutcome {
    /// Acknowledged; the message's end.
    Acknowledged,
    /// An attempt failed, or an open breaker refused a retry, and there will be another one.
    Retried,
    /// Given up; the message's end.
    Failed,
    /// Given up, and safe among the dead letters; the message's end.
    DeadLettered,
    /// Refused by an open breaker before it was tried; the message's end.
    Refused,
}

/// How many messages came to which end, and how many attempts were followed by another one.
#[derive(Debug, Default)]
pub struct SendCounts {
    acknowledged: AtomicU64,
    retried: AtomicU64,
    failed: AtomicU64,
    dead_lettered: AtomicU64,
    refused: AtomicU64,
}

impl SendCounts {
    pub(super) fn add(&self, outcome: SendOutcome) {
        self.of(outcome).fetch_add(1, Ordering::Relaxed);
    }

    /// Each outcome apart, by the name that metrics have for it.
    #[cfg(feature = "otel")]
    pub(crate) fn by_outcome(&self) -> [(&'static str, u64); 5] {
        [
            ("acknowledged", SendOutcome::Acknowledged),
            ("retried", SendOutcome::Retried),
            ("failed", SendOutcome::Failed),
            ("dead_lettered", SendOutcome::DeadLettered),
            ("refused", SendOutcome::Refused),
        ]
        .map(|(name, outcome)| (name, self.of(outcome).load(Ordering::Relaxed)))
    }

    fn of(&self, outcome: SendOutcome) -> &AtomicU64 {
        match outcome {
            SendOutcome::Acknowledged => &self.acknowledged,
            SendOutcome::Retried => &self.retried,
            SendOutcome::Failed => &self.failed,
            SendOutcome::DeadLettered => &self.dead_lettered,
            SendOutcome::Refused => &self.refused,
        }
    }

    /// Messages that the broker has acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Attempts that failed and were followed by another one.
    pub fn retried(&self) -> u64 {
        self.retried.load(Ordering::Relaxed)
    }

    /// Messages that were given up, for whatever reason: those among the dead letters and those that a breaker
    /// refused are among them.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed) + self.dead_lettered() + self.refused()
    }

    /// Messages that were given up and lie among the dead letters.
    pub fn dead_lettered(&self) -> u64 {
        self.dead_lettered.load(Ordering::Relaxed)
    }

    /// Messages that an open breaker refused before they were tried.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}
