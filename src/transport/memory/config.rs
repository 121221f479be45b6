//! What can be set about a broker in memory, and about a client of it.

use std::time::Duration;

use crate::clock::Millis;
use crate::retry::{RetryPolicy, UnknownType};
use crate::topic::TopicNaming;

/// A topic's settings; what is not set is the broker's default.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicConfig {
    /// How many partitions. Default: 3.
    pub partitions: i32,
    /// Whether records carry the broker's time of the append. Default: no.
    pub append_time: bool,
    /// What is cleaned away. Default: what is older than 7 days.
    pub cleanup: Cleanup,
    /// The largest record, key, payload and headers together, in bytes. Default: 1 MiB.
    pub max_record: usize,
}

/// How old records are cleaned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cleanup {
    /// Those older than this are deleted.
    Delete(Duration),
    /// All but the last of each key are deleted.
    Compact,
    /// None.
    Off,
}

impl Default for TopicConfig {
    fn default() -> Self {
        Self {
            partitions: 3,
            append_time: false,
            cleanup: Cleanup::Delete(Duration::from_secs(7 * 24 * 60 * 60)),
            max_record: 1024 * 1024,
        }
    }
}

/// Which records a reader sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Isolation {
    /// Those of committed transactions, and those outside of any.
    #[default]
    ReadCommitted,
    /// All, aborted ones too.
    ReadUncommitted,
}

/// Where a partition without a committed offset is begun, and one whose offset is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OffsetReset {
    /// At its first record.
    #[default]
    Earliest,
    /// At its end.
    Latest,
    /// Nowhere: it is an error.
    Error,
}

/// A client's settings. Every setter answers the changed settings.
#[derive(Debug, Clone)]
pub struct MemoryConfig {
    pub(super) service: String,
    pub(super) group: Option<String>,
    pub(super) reset: OffsetReset,
    pub(super) isolation: Isolation,
    pub(super) session: Duration,
    pub(super) fetch: usize,
    pub(super) prefetch: usize,
    pub(super) commit_every_events: u64,
    pub(super) commit_every: Duration,
    pub(super) retry: RetryPolicy,
    pub(super) naming: TopicNaming,
    pub(super) unknown: UnknownType,
    pub(super) queue: usize,
    pub(super) send_wait: Duration,
    pub(super) delivery_wait: Duration,
    pub(super) skew: Millis,
}

impl MemoryConfig {
    /// Settings of a service's client.
    pub fn new(service: impl Into<String>) -> Self {
        Self {
            service: service.into(),
            group: None,
            reset: OffsetReset::default(),
            isolation: Isolation::default(),
            session: Duration::from_secs(10),
            fetch: 500,
            prefetch: 1_000,
            commit_every_events: 1_000,
            commit_every: Duration::from_millis(100),
            retry: RetryPolicy::default(),
            naming: TopicNaming::default(),
            unknown: UnknownType::default(),
            queue: 100_000,
            send_wait: Duration::from_secs(5),
            delivery_wait: Duration::from_secs(30),
            skew: 0,
        }
    }

    /// The group of a consumer that names none. Default: none.
    #[must_use]
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.group = Some(group.into());
        self
    }

    /// Where a main topic's partition without a committed offset is begun. Default: earliest.
    #[must_use]
    pub fn offset_reset(mut self, reset: OffsetReset) -> Self {
        self.reset = reset;
        self
    }

    /// Which records consumers see. Default: committed ones.
    #[must_use]
    pub fn isolation(mut self, isolation: Isolation) -> Self {
        self.isolation = isolation;
        self
    }

    /// How long a silent member keeps its partitions. Default: 10 s.
    #[must_use]
    pub fn session_timeout(mut self, session: Duration) -> Self {
        self.session = session;
        self
    }

    /// The most records of one fetch. Default: 500.
    #[must_use]
    pub fn fetch(mut self, records: usize) -> Self {
        self.fetch = records.max(1);
        self
    }

    /// Events of a partition that a consumer may have in memory. Default: 1,000.
    #[must_use]
    pub fn prefetch(mut self, events: usize) -> Self {
        self.prefetch = events;
        self
    }

    /// A commit after so many events (default: 1,000) and after so much time (default: 100 ms).
    #[must_use]
    pub fn commit_every(mut self, events: u64, interval: Duration) -> Self {
        self.commit_every_events = events;
        self.commit_every = interval;
        self
    }

    /// How failed events are retried. Default: [`RetryPolicy::default`].
    #[must_use]
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// How retry, dead-letter and quarantine topics are named.
    #[must_use]
    pub fn naming(mut self, naming: TopicNaming) -> Self {
        self.naming = naming;
        self
    }

    /// What is done with an event that no handler takes. Default: dead letter.
    #[must_use]
    pub fn unknown(mut self, unknown: UnknownType) -> Self {
        self.unknown = unknown;
        self
    }

    /// Records that the producer's queue holds. Default: 100,000.
    #[must_use]
    pub fn queue(mut self, records: usize) -> Self {
        self.queue = records.max(1);
        self
    }

    /// How long a publisher waits for room in the queue. Default: 5 s.
    #[must_use]
    pub fn send_wait(mut self, wait: Duration) -> Self {
        self.send_wait = wait;
        self
    }

    /// How long the producer tries, and a publisher waits for an acknowledgement. Default: 30 s.
    #[must_use]
    pub fn delivery_wait(mut self, wait: Duration) -> Self {
        self.delivery_wait = wait;
        self
    }

    /// How far this client's clock is ahead of the broker's (behind: negative), in milliseconds.
    /// Default: 0.
    #[must_use]
    pub fn clock_skew(mut self, ahead: Millis) -> Self {
        self.skew = ahead;
        self
    }
}
