//! What a view is doing, and whether it does what it should.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::error::StateStopped;
use crate::event::TopicName;
use crate::transport::Producer;

/// Reading may fail for this long before the view is not ready.
const FAILS: Duration = Duration::from_secs(5);

/// How far a view has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    Reading,
    CaughtUp,
    Stopped(StateStopped),
}

/// What one view is doing. Cheap to clone.
#[derive(Clone)]
pub struct StateViewStatus(Arc<Inner>);

struct Inner {
    topic: TopicName,
    limit: usize,
    /// Knows whether the broker answers.
    producer: Arc<dyn Producer>,
    phase: watch::Sender<Phase>,
    /// The next offset of each partition.
    next: watch::Sender<BTreeMap<i32, i64>>,
    /// Offsets between what was read and the ends that were there at the start.
    left: AtomicU64,
    counts: StateCounts,
    failing: Mutex<BTreeMap<Failing, (Instant, String)>>,
}

/// What can fail while the view goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Failing {
    /// The topic cannot be looked at.
    Look,
    /// The reader reports errors, or has ended.
    Reader,
}

/// What a view has read since its start, and what it holds.
#[derive(Debug, Default)]
pub struct StateCounts {
    pub(super) values: AtomicU64,
    pub(super) tombstones: AtomicU64,
    pub(super) unreadable: AtomicU64,
    pub(super) keyless: AtomicU64,
    pub(super) begun_anew: AtomicU64,
    pub(super) keys: AtomicUsize,
    pub(super) unreadable_keys: AtomicUsize,
    pub(super) bytes: AtomicUsize,
}

impl StateCounts {
    /// Values that were read.
    pub fn values(&self) -> u64 {
        self.values.load(Ordering::Relaxed)
    }

    /// Tombstones that were read, those of unknown keys too.
    pub fn tombstones(&self) -> u64 {
        self.tombstones.load(Ordering::Relaxed)
    }

    /// Values that could not be read.
    pub fn unreadable(&self) -> u64 {
        self.unreadable.load(Ordering::Relaxed)
    }

    /// Records without a key, which say nothing about any: passed over.
    pub fn keyless(&self) -> u64 {
        self.keyless.load(Ordering::Relaxed)
    }

    /// How often the topic was found to begin anew (deleted and made again, or cut), and so the view.
    pub fn begun_anew(&self) -> u64 {
        self.begun_anew.load(Ordering::Relaxed)
    }

    /// Keys that have a value now.
    pub fn keys(&self) -> usize {
        self.keys.load(Ordering::Relaxed)
    }

    /// Keys whose last record could not be read.
    pub fn unreadable_keys(&self) -> usize {
        self.unreadable_keys.load(Ordering::Relaxed)
    }

    /// What keys and values take now, in bytes, estimated.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn add(counter: &AtomicU64, number: u64) -> u64 {
        counter.fetch_add(number, Ordering::Relaxed) + number
    }
}

impl StateViewStatus {
    pub(super) fn new(topic: TopicName, limit: usize, producer: Arc<dyn Producer>) -> Self {
        Self(Arc::new(Inner {
            topic,
            limit,
            producer,
            phase: watch::Sender::new(Phase::Reading),
            next: watch::Sender::default(),
            left: AtomicU64::new(0),
            counts: StateCounts::default(),
            failing: Mutex::default(),
        }))
    }

    fn failures(&self) -> MutexGuard<'_, BTreeMap<Failing, (Instant, String)>> {
        self.0.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds it as long as somebody holds it.
    #[cfg(feature = "otel")]
    pub(crate) fn weakly(&self) -> impl Fn() -> Option<Self> + Send + Sync + use<> {
        let held = Arc::downgrade(&self.0);
        move || held.upgrade().map(Self)
    }

    /// Its topic.
    pub fn topic(&self) -> &TopicName {
        &self.0.topic
    }

    /// What it has read and what it holds.
    pub fn counts(&self) -> &StateCounts {
        &self.0.counts
    }

    /// The most that keys and values may take, in bytes.
    pub fn max_memory(&self) -> usize {
        self.0.limit
    }

    /// Whether it has read to the ends that were there at its start.
    pub fn is_caught_up(&self) -> bool {
        *self.0.phase.borrow() == Phase::CaughtUp
    }

    /// Why it has stopped; `None` while it goes on.
    pub fn stopped(&self) -> Option<StateStopped> {
        match &*self.0.phase.borrow() {
            Phase::Stopped(why) => Some(why.clone()),
            Phase::Reading | Phase::CaughtUp => None,
        }
    }

    /// Why it is not ready; empty when it is: it has caught up, follows, and the broker answers.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        match &*self.0.phase.borrow() {
            Phase::Stopped(why) => return vec![format!("it has stopped: {why}")],
            Phase::Reading => problems.push(format!(
                "it has not read to the end yet, {} offsets are left",
                self.0.left.load(Ordering::Relaxed)
            )),
            Phase::CaughtUp => {}
        }
        problems.extend(self.0.producer.reachable().err().map(|error| error.to_string()));
        let failures = self.failures();
        let lasting = failures.values().filter(|(since, _)| since.elapsed() > FAILS);
        problems.extend(lasting.map(|(since, why)| {
            format!("reading has failed for {:.0} s: {why}", since.elapsed().as_secs_f64())
        }));
        problems
    }

    /// Whether it does what it should; [`problems`](Self::problems) says what is missing.
    pub fn is_ready(&self) -> bool {
        self.problems().is_empty()
    }

    pub(super) fn phase(&self) -> watch::Receiver<Phase> {
        self.0.phase.subscribe()
    }

    pub(super) fn next(&self) -> watch::Receiver<BTreeMap<i32, i64>> {
        self.0.next.subscribe()
    }

    pub(super) fn read_up_to(&self, partition: i32, next: i64) {
        self.0.next.send_modify(|all| {
            all.insert(partition, next);
        });
    }

    pub(super) fn left(&self, offsets: u64) {
        self.0.left.store(offsets, Ordering::Relaxed);
    }

    pub(super) fn caught_up(&self) {
        self.go_on(Phase::CaughtUp);
    }

    /// It begins anew: nothing was read.
    pub(super) fn anew(&self) {
        StateCounts::add(&self.0.counts.begun_anew, 1);
        self.0.next.send_replace(BTreeMap::new());
        self.go_on(Phase::Reading);
    }

    pub(super) fn stop(&self, why: StateStopped) {
        self.go_on(Phase::Stopped(why));
    }

    fn go_on(&self, to: Phase) {
        self.0.phase.send_if_modified(|phase| {
            let goes_on = !matches!(phase, Phase::Stopped(_)) && *phase != to;
            if goes_on {
                *phase = to;
            }
            goes_on
        });
    }

    /// Answers whether this is news.
    pub(super) fn fails(&self, what: Failing, why: String) -> bool {
        let mut failures = self.failures();
        let since = failures.get(&what).map(|(since, _)| *since);
        failures.insert(what, (since.unwrap_or_else(Instant::now), why));
        since.is_none()
    }

    pub(super) fn works(&self, what: Failing) {
        self.failures().remove(&what);
    }
}

impl std::fmt::Debug for StateViewStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StateViewStatus")
            .field("topic", &self.0.topic)
            .field("phase", &*self.0.phase.borrow())
            .field("counts", &self.0.counts)
            .finish_non_exhaustive()
    }
}
