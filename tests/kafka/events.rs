//! Events for tests, each with a topic of its own, and notes of what handlers saw.

use std::sync::OnceLock;

use tidings::IntegrationEvent;
use tidings::consumer::Delivery;
use tidings::event::TopicName;
use tidings::transport::Timestamp;
pub use tidings::transport::memory::partition_of;

/// Names the topics of this run; a child process gets its parent's.
pub const PREFIX: &str = "TIDINGS_TEST_PREFIX";

/// What stands before every topic and group of this run.
pub fn prefix() -> &'static str {
    static PREFIX_OF_RUN: OnceLock<String> = OnceLock::new();
    PREFIX_OF_RUN
        .get_or_init(|| std::env::var(PREFIX).unwrap_or_else(|_| crate::support::unique("run")))
}

/// A topic or group of this run.
pub fn named(name: &str) -> String {
    format!("{}.{name}", prefix())
}

pub fn topic(name: &str) -> TopicName {
    TopicName::new(named(name)).unwrap()
}

/// An event of tests: [`event`] declares them.
pub trait Numbered: IntegrationEvent {
    /// Its topic, without what stands before every topic of this run.
    const TOPIC: &'static str;

    fn new(key: impl Into<String>, n: u32) -> Self;

    fn n(&self) -> u32;

    /// A topic around its own: `retry.1s`, `dlq`, `quarantine`.
    fn beside(suffix: &str) -> TopicName {
        topic(&format!("{}.{suffix}", Self::TOPIC))
    }
}

/// Declares an event type whose topic is this run's `$topic`.
macro_rules! event {
    ($name:ident, $topic:literal) => {
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        struct $name {
            key: String,
            n: u32,
        }

        impl crate::events::Numbered for $name {
            const TOPIC: &'static str = $topic;

            fn new(key: impl Into<String>, n: u32) -> Self {
                Self { key: key.into(), n }
            }

            fn n(&self) -> u32 {
                self.n
            }
        }

        impl tidings::IntegrationEvent for $name {
            const NAME: &'static str = $topic;

            fn topics() -> Vec<tidings::event::TopicName> {
                vec![crate::events::topic($topic)]
            }

            fn topic(&self) -> tidings::event::TopicName {
                crate::events::topic($topic)
            }

            fn partition_key(
                &self,
            ) -> Result<Option<tidings::event::PartitionKey>, tidings::event::InvalidKey> {
                tidings::event::PartitionKey::new(self.key.as_str()).map(Some)
            }
        }
    };
}
pub(crate) use event;

/// One call of a handler.
#[derive(Debug, Clone)]
pub struct Ran {
    pub n: u32,
    pub attempt: u32,
    pub topic: TopicName,
    pub partition: i32,
    pub offset: i64,
    /// When the broker appended the record, where it keeps that.
    pub appended: Option<i64>,
    /// When the handler was called, Unix milliseconds.
    pub at: i64,
}

impl Ran {
    pub fn new(n: u32, delivery: &Delivery) -> Self {
        let record = delivery.record();
        Self {
            n,
            attempt: delivery.attempt(),
            topic: record.topic.clone(),
            partition: record.partition,
            offset: record.offset,
            appended: match record.timestamp {
                Some(Timestamp::Appended(at)) => Some(at),
                _ => None,
            },
            at: now(),
        }
    }

    /// How late it ran after `tier` in the broker's time, in ms; negative is early.
    pub fn late(&self, tier: std::time::Duration) -> i64 {
        let appended = self.appended.expect("a tier keeps append times");
        self.at - appended - i64::try_from(tier.as_millis()).unwrap()
    }
}

/// Unix milliseconds; the brokers of tests run on this machine and have the same clock.
pub fn now() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

/// The value below which `percent` of the values lie.
pub fn percentile(sorted: &[i64], percent: usize) -> i64 {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

/// A key that lands on `partition`.
pub fn key_on(partition: i32, partitions: i32) -> String {
    (0..)
        .map(|n| format!("key-{n}"))
        .find(|key| partition_of(key.as_bytes(), partitions) == partition)
        .unwrap()
}
