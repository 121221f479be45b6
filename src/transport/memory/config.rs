//! What can be set about a broker in memory, and about a client of it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::Millis;
use crate::retry::{RetryPolicy, UnknownType};
use crate::topic::TopicNaming;
use crate::transport::TopicProperty;

const CLEANUP: &str = "cleanup.policy";
const RETENTION: &str = "retention.ms";
const MAX_RECORD: &str = "max.message.bytes";
const TIMESTAMP: &str = "message.timestamp.type";

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
    /// How many copies it says it has; there is one. Default: 1.
    pub replication: i32,
    /// Further properties that were set, by Kafka's names; they change nothing.
    pub properties: BTreeMap<String, String>,
}

impl TopicConfig {
    /// Sets a property by Kafka's name.
    ///
    /// # Errors
    /// When the value is none that Kafka takes.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let wrong = || format!("{name} cannot be {value:?}");
        match (name, value) {
            (CLEANUP, "compact") => self.cleanup = Cleanup::Compact,
            (CLEANUP, "delete") => {
                if self.cleanup == Cleanup::Compact {
                    self.cleanup = Self::default().cleanup;
                }
            }
            (CLEANUP, _) => return Err(wrong()),
            (RETENTION, value) => {
                let kept: i64 = value.parse().map_err(|_| wrong())?;
                if self.cleanup != Cleanup::Compact {
                    self.cleanup = match u64::try_from(kept) {
                        Ok(kept) => Cleanup::Delete(Duration::from_millis(kept)),
                        Err(_) => Cleanup::Off,
                    };
                }
            }
            (MAX_RECORD, value) => self.max_record = value.parse().map_err(|_| wrong())?,
            (TIMESTAMP, "LogAppendTime") => self.append_time = true,
            (TIMESTAMP, "CreateTime") => self.append_time = false,
            (TIMESTAMP, _) => return Err(wrong()),
            (name, value) => drop(self.properties.insert(name.to_owned(), value.to_owned())),
        }
        Ok(())
    }

    /// All of it, by Kafka's names.
    pub(super) fn described(&self) -> BTreeMap<String, TopicProperty> {
        let (policy, kept) = match self.cleanup {
            Cleanup::Delete(kept) => ("delete", Some(kept)),
            Cleanup::Compact => ("compact", None),
            Cleanup::Off => ("delete", None),
        };
        let time = if self.append_time { "LogAppendTime" } else { "CreateTime" };
        let kept = kept.map_or_else(|| "-1".into(), |kept| kept.as_millis().to_string());
        let own = [
            (CLEANUP, policy.to_owned()),
            (RETENTION, kept),
            (MAX_RECORD, self.max_record.to_string()),
            (TIMESTAMP, time.to_owned()),
        ];
        let defaults = Self::default();
        let is_default = |name: &str| match name {
            CLEANUP | RETENTION => self.cleanup == defaults.cleanup,
            MAX_RECORD => self.max_record == defaults.max_record,
            _ => self.append_time == defaults.append_time,
        };
        let own = own.map(|(name, value)| {
            (name.to_owned(), TopicProperty { value, set: !is_default(name) })
        });
        let further = self
            .properties
            .iter()
            .map(|(name, value)| (name.clone(), TopicProperty { value: value.clone(), set: true }));
        own.into_iter().chain(further).collect()
    }
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
            replication: 1,
            properties: BTreeMap::new(),
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
