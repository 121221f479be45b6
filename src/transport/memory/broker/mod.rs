//! The broker in memory: topics, groups, transactions, faults, and its own time.

mod faults;
mod groups;
mod log;
mod partitioner;
mod state;
mod transactions;
mod watch;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

pub use faults::{Fault, FaultPlan};
pub(super) use groups::{MemberId, Moves};
pub(super) use log::Fetched;
pub use partitioner::partition_of;
pub(super) use state::{Pending, Refusal, State, TransactionOf};
pub(super) use watch::Steps;
pub use watch::{Operation, Watcher};

use super::Memory;
use super::config::{Isolation, MemoryConfig, TopicConfig};
use crate::clock::Millis;
use crate::event::TopicName;
use crate::transport::{Received, TopicPartition, TransportError};

/// A broker in this process, with Kafka's semantics and no thread of its own: its time is tokio's, so
/// that with `start_paused` hours pass at once. Cheap to clone; all clones are the same broker.
///
/// It is for tests. What is in it is gone with the last clone and client.
#[derive(Clone)]
pub struct MemoryBroker(pub(super) Arc<Shared>);

/// What can be set about a broker; see [`MemoryBroker::builder`].
#[derive(Debug, Clone)]
pub struct MemoryBrokerBuilder {
    pub(super) seed: u64,
    pub(super) started_at: Option<Millis>,
    pub(super) topics: TopicConfig,
    pub(super) auto_create: bool,
    pub(super) create_when_asked: bool,
    pub(super) latency: (Duration, Duration),
    pub(super) offsets_retention: Duration,
}

pub(super) struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

/// What a group has not read, or not committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lag {
    /// The group.
    pub group: String,
    /// The partition: of a main topic, or of one that follows.
    pub partition: TopicPartition,
    /// The next offset to read, as committed, or where the group began.
    pub from: i64,
    /// How many records lie there.
    pub records: usize,
    /// Who reads it.
    pub reader: Reader,
}

/// Who reads a partition for a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reader {
    /// A consumer of the group.
    Reads,
    /// One that was told not to fetch it for now.
    Paused,
    /// Nobody yet, or any more: a consumer is about to get it, or has died and not left.
    Awaited,
    /// Nobody: all consumers of the group have left in order.
    Gone,
}

/// What is still on its way through a broker, seen at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Backlog {
    /// Records that clients have queued and the broker has not taken.
    pub queued: usize,
    /// What groups have to read yet, those included whose consumers have all left.
    pub lag: Vec<Lag>,
}

impl Backlog {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.queued == 0 && self.lag.is_empty()
    }
}

impl MemoryBroker {
    /// A broker with no delays and no faults, whose topics are made when they are first written to.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// A broker to be configured.
    pub fn builder() -> MemoryBrokerBuilder {
        MemoryBrokerBuilder {
            seed: 0,
            started_at: None,
            topics: TopicConfig::default(),
            auto_create: true,
            create_when_asked: false,
            latency: (Duration::ZERO, Duration::ZERO),
            offsets_retention: Duration::from_secs(7 * 24 * 60 * 60),
        }
    }

    /// A client for a service.
    ///
    /// # Errors
    /// When the name cannot be an event's source.
    pub fn client(&self, service: impl Into<String>) -> Result<Memory, TransportError> {
        self.connect(MemoryConfig::new(service))
    }

    /// A client with settings of its own.
    ///
    /// # Errors
    /// When the service's name cannot be an event's source.
    pub fn connect(&self, config: MemoryConfig) -> Result<Memory, TransportError> {
        Memory::new(self.0.clone(), config)
    }

    /// Makes a topic; one that is there stays as it is.
    pub fn create_topic(&self, name: TopicName, config: TopicConfig) {
        self.0.update(|state, _| state.create_topic(name, config));
    }

    /// Deletes a topic with its records, and what groups have committed of it.
    pub fn delete_topic(&self, topic: &TopicName) {
        self.0.update(|state, _| state.delete_topic(topic));
    }

    /// Gives a topic more partitions; fewer than it has change nothing.
    pub fn add_partitions(&self, topic: &TopicName, partitions: i32) {
        self.0.update(|state, _| state.add_partitions(topic, partitions));
    }

    /// Sets the largest record that a topic takes from now on, in bytes.
    pub fn set_max_record(&self, topic: &TopicName, bytes: usize) {
        self.0.update(|state, _| state.set_max_record(topic, bytes));
    }

    /// The topics and their partitions.
    pub fn topics(&self) -> Vec<(TopicName, i32)> {
        self.0.update(|state, _| state.topics())
    }

    /// The partitions of a topic, each with the offset that its next record gets.
    pub fn ends(&self, topic: &TopicName) -> Vec<(i32, i64)> {
        self.0.update(|state, _| state.ends(topic))
    }

    /// Every record of a topic that is there and not aborted, by partition and offset.
    pub fn records(&self, topic: &TopicName) -> Vec<Received> {
        self.0.update(|state, _| state.records(topic))
    }

    /// What is queued, and what each group has to read yet: when both are empty, everything that was
    /// published is handled, with all that followed from it.
    pub fn backlog(&self) -> Backlog {
        self.0.update(|state, _| Backlog {
            queued: state.queued(),
            lag: state.lag(Isolation::ReadCommitted),
        })
    }

    /// A group's committed offset.
    pub fn committed(&self, group: &str, partition: &TopicPartition) -> Option<i64> {
        self.0.update(|state, _| state.committed(group, partition))
    }

    /// Makes a fault happen now.
    pub fn inject(&self, fault: Fault) {
        self.0.update(|state, now| state.happen(fault, now));
    }

    /// Makes these faults happen, their times counted from now.
    pub fn plan(&self, plan: &FaultPlan) {
        self.0.update(|state, now| state.plan(plan, now));
    }

    /// Ends every fault, and forgets those whose time has not come.
    pub fn heal(&self) {
        self.0.update(|state, now| state.heal(now));
    }

    /// How many faults have happened.
    pub fn faults(&self) -> usize {
        self.0.update(|state, _| state.faults_happened())
    }

    /// Cleans compacted topics now; otherwise that happens every 15 s.
    pub fn compact(&self) {
        self.0.update(|state, now| state.compact(now));
    }

    /// The broker's time, in Unix milliseconds.
    pub fn now(&self) -> Millis {
        self.0.update(|state, now| state.millis(now))
    }

    /// Waits until something has changed since the call: records, groups, offsets.
    pub async fn changed(&self) {
        self.0.changed.notified().await;
    }

    /// Lets `watcher` hear each [`Operation`] of this broker from now on, and each step of consumers
    /// that are started from now on. Those who watch already go on.
    pub fn watch(&self, watcher: Arc<dyn Watcher>) {
        self.0.update(|state, _| state.watch(watcher));
    }
}

impl Default for MemoryBroker {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for MemoryBroker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryBroker").field("topics", &self.topics()).finish_non_exhaustive()
    }
}

impl MemoryBrokerBuilder {
    /// What its chance is drawn from: latencies, partitions of records without a key. Default: 0.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The broker's time at its start, in Unix milliseconds. Default: this machine's.
    #[must_use]
    pub fn starting_at(mut self, now: Millis) -> Self {
        self.started_at = Some(now);
        self
    }

    /// The settings of topics that are made without any. Default: [`TopicConfig::default`].
    #[must_use]
    pub fn topics(mut self, topics: TopicConfig) -> Self {
        self.topics = topics;
        self
    }

    /// Whether a topic is made when it is first written to. Default: yes, as Kafka does.
    #[must_use]
    pub fn auto_create(mut self, auto_create: bool) -> Self {
        self.auto_create = auto_create;
        self
    }

    /// Whether a topic is made when it is looked for, so that a start finds it that only verifies
    /// its topics. Default: no.
    #[must_use]
    pub fn create_when_asked(mut self, create: bool) -> Self {
        self.create_when_asked = create;
        self
    }

    /// How long each request takes, drawn between the two. Default: no time.
    #[must_use]
    pub fn latency(mut self, least: Duration, most: Duration) -> Self {
        self.latency = (least, most.max(least));
        self
    }

    /// How long offsets are kept of groups without members, and of topics that a group's members do
    /// not subscribe to. Default: 7 days.
    #[must_use]
    pub fn offsets_retention(mut self, retention: Duration) -> Self {
        self.offsets_retention = retention;
        self
    }

    /// The broker.
    pub fn build(self) -> MemoryBroker {
        MemoryBroker(Arc::new(Shared {
            state: Mutex::new(State::new(self, Instant::now())),
            changed: Notify::new(),
        }))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings the broker up to now, does something, and wakes whoever waits if that changed anything.
    pub(super) fn update<T>(&self, act: impl FnOnce(&mut State, Instant) -> T) -> T {
        let now = Instant::now();
        let mut state = self.lock();
        state.go_on(now);
        let answer = act(&mut state, now);
        let changed = state.take_changed();
        state.tell();
        drop(state);
        if changed {
            self.changed.notify_waiters();
        }
        answer
    }

    /// What tells of the next change; to be enabled before the state is looked at.
    pub(super) fn changes(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }

    /// Waits as long as a request takes.
    pub(super) async fn travel(&self) {
        let takes = self.update(|state, _| state.latency());
        if !takes.is_zero() {
            tokio::time::sleep(takes).await;
        }
    }

    /// Waits until a client can reach the broker, and no longer than to a deadline; answers whether
    /// it can.
    pub(super) async fn reach(&self, client: u64, deadline: Instant) -> bool {
        loop {
            let again = self.update(|state, now| state.unreachable(client, now).map(|(_, at)| at));
            match again {
                None => return true,
                Some(_) if Instant::now() >= deadline => return false,
                Some(at) => tokio::time::sleep_until(at.min(deadline)).await,
            }
        }
    }

    pub(super) fn watchers(&self) -> Vec<Arc<dyn Watcher>> {
        self.update(|state, _| state.watchers())
    }
}
