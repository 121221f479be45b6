//! What a relay is doing, and whether it does what it should.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::builder::Settings;
use crate::store::{Backlog, Shard};

/// The database may fail for this long before the relay is not ready.
const DATABASE_FAILS: Duration = Duration::from_secs(5);
/// How long rows may be refused or not acknowledged before the relay is not ready.
const PUBLISHING_FAILS: Duration = Duration::from_secs(5);

/// What one relay is doing. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RelayStatus(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: String,
    oldest: Duration,
    counts: RelayCounts,
    state: Mutex<State>,
}

/// Counters of a relay since its start.
#[derive(Debug, Default)]
pub struct RelayCounts {
    published: AtomicU64,
    retried: AtomicU64,
    parked: AtomicU64,
}

impl RelayCounts {
    /// Rows that the broker acknowledged.
    pub fn published(&self) -> u64 {
        self.published.load(Ordering::Relaxed)
    }

    /// Attempts that failed and are made again.
    pub fn retried(&self) -> u64 {
        self.retried.load(Ordering::Relaxed)
    }

    /// Rows that were parked, without those behind them.
    pub fn parked(&self) -> u64 {
        self.parked.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
struct State {
    shards: Vec<Shard>,
    joined: bool,
    backlog: Backlog,
    seen: Option<Instant>,
    /// By call: one that is answered says nothing about another.
    database: BTreeMap<&'static str, Failing>,
    publishing: Failing,
    ended: bool,
}

/// Since when something fails, and what it said last.
#[derive(Debug, Default)]
struct Failing(Option<(Instant, String)>);

impl Failing {
    /// Answers whether this is news.
    fn set(&mut self, error: String) -> bool {
        let news = self.0.is_none();
        let since = self.0.take().map_or_else(Instant::now, |(since, _)| since);
        self.0 = Some((since, error));
        news
    }

    fn for_longer_than(&self, bound: Duration) -> Option<(f64, &str)> {
        let (since, why) = self.0.as_ref()?;
        let lasts = since.elapsed();
        (lasts > bound).then_some((lasts.as_secs_f64(), why))
    }
}

impl RelayStatus {
    pub(super) fn new(settings: &Settings) -> Self {
        Self(Arc::new(Inner {
            name: settings.name.clone(),
            oldest: settings.oldest,
            counts: RelayCounts::default(),
            state: Mutex::default(),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds it as long as somebody holds it.
    #[cfg(feature = "otel")]
    pub(crate) fn weakly(&self) -> impl Fn() -> Option<Self> + Send + Sync + use<> {
        let held = Arc::downgrade(&self.0);
        move || held.upgrade().map(Self)
    }

    /// Its name among the relays of its outbox.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Its counters.
    pub fn counts(&self) -> &RelayCounts {
        &self.0.counts
    }

    /// The shards that it works on.
    pub fn shards(&self) -> Vec<Shard> {
        self.state().shards.clone()
    }

    /// What waited in the whole outbox when it was looked at last, which is every few seconds.
    pub fn backlog(&self) -> Backlog {
        self.state().backlog.clone()
    }

    /// Why it is not ready; empty when it is. A parked event is no reason: it waits for people.
    pub fn problems(&self) -> Vec<String> {
        let state = self.state();
        if state.ended {
            return vec!["it has ended".into()];
        }
        let mut problems = Vec::new();
        if !state.joined {
            problems.push("it has not reached its outbox yet".into());
        }
        let failing = |failing: &Failing| {
            let (secs, why) = failing.for_longer_than(DATABASE_FAILS)?;
            Some(format!("the outbox has failed for {secs:.0} s: {why}"))
        };
        problems.extend(state.database.values().find_map(failing));
        if let Some((secs, why)) = state.publishing.for_longer_than(PUBLISHING_FAILS) {
            problems.push(format!("events are not acknowledged for {secs:.0} s: {why}"));
        }
        if let (Some(oldest), Some(seen)) = (state.backlog.oldest, state.seen)
            && oldest > self.0.oldest
        {
            let secs = (oldest + seen.elapsed()).as_secs_f64();
            problems.push(format!("the oldest event has waited for {secs:.0} s"));
        }
        problems
    }

    pub(super) fn holds(&self, shards: &[Shard]) {
        let mut state = self.state();
        state.joined = true;
        state.shards = shards.to_vec();
    }

    pub(super) fn waits(&self, backlog: Backlog) {
        let mut state = self.state();
        state.backlog = backlog;
        state.seen = Some(Instant::now());
    }

    /// Says how a call to the database went; logs what is news.
    pub(super) fn database(&self, call: &'static str, failed: Option<String>) {
        let mut state = self.state();
        let Some(error) = failed else { return drop(state.database.remove(call)) };
        if state.database.entry(call).or_default().set(error.clone()) {
            tracing::warn!(relay = self.0.name, call, %error, "the outbox fails");
        }
    }

    pub(super) fn published(&self, rows: usize) {
        self.0.counts.published.fetch_add(rows as u64, Ordering::Relaxed);
        self.state().publishing.0 = None;
    }

    /// Nothing is on its way or tried again.
    pub(super) fn idle(&self) {
        self.state().publishing.0 = None;
    }

    pub(super) fn retried(&self, error: String) {
        self.0.counts.retried.fetch_add(1, Ordering::Relaxed);
        if self.state().publishing.set(error.clone()) {
            tracing::warn!(relay = self.0.name, %error, "an event was not acknowledged; it is sent again");
        }
    }

    pub(super) fn parked(&self) {
        self.0.counts.parked.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn ended(&self) {
        let mut state = self.state();
        state.shards.clear();
        state.ended = true;
    }
}
