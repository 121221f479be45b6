//! What can be set about a consumer.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::watch;

use crate::event::TopicName;

/// What has to be handled one after another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Order {
    /// Events of one key; keys side by side. Events without a key are in no order.
    #[default]
    ByKey,
    /// Events of one partition; partitions side by side.
    ByPartition,
    /// None: events of a partition begin in their order, and run side by side.
    Unordered,
}

/// What is done with a record that has no payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Tombstones {
    /// It cannot be an event: to quarantine.
    #[default]
    Quarantine,
    /// The topic is compacted and tombstones are expected: passed over.
    Ignore,
}

/// How often a member that panics is started again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Restarts {
    pub(super) most: usize,
    pub(super) within: Duration,
}

impl Default for Restarts {
    fn default() -> Self {
        Self { most: 5, within: Duration::from_secs(600) }
    }
}

/// The settings that a member needs.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) group: Arc<str>,
    pub(super) order: Order,
    pub(super) concurrency: usize,
    pub(super) restarts: Restarts,
    /// How many events of one partition may have begun at once; `None`: as many as run at once.
    pub(super) begun_per_partition: Option<usize>,
    pub(super) prefetch: usize,
    pub(super) commit_every_events: u64,
    pub(super) commit_every: Duration,
    pub(super) revoke_drain: Duration,
    pub(super) offset_refresh: Duration,
    /// Topics that the user has paused.
    pub(super) paused: watch::Sender<HashSet<TopicName>>,
}

impl Settings {
    /// Tasks that share the work: as many as there are cores, and no more than handlers at once. One
    /// where the runtime has but one thread: more would gain nothing, and what runs when would depend
    /// on the machine.
    pub(super) fn shards(&self) -> usize {
        if Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread {
            return 1;
        }
        let cores = std::thread::available_parallelism().map_or(1, Into::into);
        cores.min(self.concurrency).max(1)
    }

    /// Whether the user has paused a topic; a main topic takes its tiers along.
    pub(super) fn is_paused(&self, topic: &TopicName, main: &TopicName) -> bool {
        let paused = self.paused.borrow();
        !paused.is_empty() && (paused.contains(topic) || paused.contains(main))
    }
}
