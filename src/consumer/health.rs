//! What a consumer is doing, and whether it does what it should.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::pause::Reason;
use crate::transport::TopicPartition;

/// The source must have asked for events within this time.
const POLLED_WITHIN: Duration = Duration::from_secs(8);
/// Commits may fail for this long before the consumer is not ready.
const COMMITS_FAIL: Duration = Duration::from_secs(5);

/// Counters of a consumer since its start. Each event is counted once per handler.
#[derive(Debug, Default)]
pub struct Counts {
    pub(super) handled: AtomicU64,
    pub(super) duplicates: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) retried: AtomicU64,
    pub(super) dead_lettered: AtomicU64,
    pub(super) quarantined: AtomicU64,
    pub(super) skipped: AtomicU64,
    pub(super) restarts: AtomicU64,
}

impl Counts {
    /// Events that a handler finished.
    pub fn handled(&self) -> u64 {
        self.handled.load(Ordering::Relaxed)
    }

    /// Events that came again to a handler that had handled them, and that the inbox kept from it.
    pub fn duplicates(&self) -> u64 {
        self.duplicates.load(Ordering::Relaxed)
    }

    /// Events that a handler dropped, or that ran out of retries with dead letters off.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Events put on a retry tier.
    pub fn retried(&self) -> u64 {
        self.retried.load(Ordering::Relaxed)
    }

    /// Events put on a dead-letter topic.
    pub fn dead_lettered(&self) -> u64 {
        self.dead_lettered.load(Ordering::Relaxed)
    }

    /// Records put in quarantine.
    pub fn quarantined(&self) -> u64 {
        self.quarantined.load(Ordering::Relaxed)
    }

    /// Records that no handler here takes: other groups' retries, types that are ignored.
    pub fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    /// Times that a member panicked and was started again.
    pub fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    pub(super) fn one(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// What one member of a consumer knows of itself.
#[derive(Debug, Default)]
pub(super) struct MemberHealth {
    state: Mutex<State>,
    end: Notify,
}

#[derive(Debug, Default)]
struct State {
    joined: bool,
    assigned: usize,
    commits_failing: Option<(Instant, String)>,
    /// By partition and reason: how much work waits, and what it said last.
    blocked: BTreeMap<(String, Reason), (usize, String)>,
    paused: BTreeSet<TopicPartition>,
    /// Why there is no member now; another one is to take its place.
    down: Option<String>,
    ended: Option<String>,
}

impl MemberHealth {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn assigned(&self, partitions: usize) {
        let mut state = self.state();
        state.joined = true;
        state.assigned = partitions;
    }

    /// Partitions went; of a member that has none left it is not known whether it is still in the
    /// group, until it is assigned again, be it nothing.
    pub(super) fn lost(&self, partitions: usize) {
        let mut state = self.state();
        state.joined &= partitions > 0;
        state.assigned = partitions;
    }

    pub(super) fn committed(&self, result: Result<(), String>) {
        let mut state = self.state();
        match result {
            Ok(()) => state.commits_failing = None,
            Err(why) => {
                let since =
                    state.commits_failing.as_ref().map_or_else(Instant::now, |(since, _)| *since);
                state.commits_failing = Some((since, why));
            }
        }
    }

    /// Says why an event of a partition cannot go on, until the answer is dropped. Others of the
    /// same partition may wait too: it can go on when none is left.
    pub(super) fn block(&self, partition: String, reason: Reason, why: String) -> Blocked<'_> {
        let key = (partition, reason);
        let mut state = self.state();
        let (waiting, said) = state.blocked.entry(key.clone()).or_default();
        *waiting += 1;
        *said = why;
        Blocked { health: self, key }
    }

    /// Says whether a partition is paused, for whichever reason.
    pub(super) fn paused(&self, partition: TopicPartition, paused: bool) {
        match paused {
            true => self.state().paused.insert(partition),
            false => self.state().paused.remove(&partition),
        };
    }

    pub(super) fn all_paused(&self) -> Vec<TopicPartition> {
        self.state().paused.iter().cloned().collect()
    }

    /// The member is gone, and all that was known of it; another one is to take its place.
    pub(super) fn down(&self, why: String) {
        let mut state = self.state();
        // What its work is blocked by goes with the work.
        let blocked = std::mem::take(&mut state.blocked);
        *state = State { down: Some(why), blocked, ended: state.ended.take(), ..State::default() };
    }

    /// Another member is there.
    pub(super) fn up(&self) {
        self.state().down = None;
    }

    pub(super) fn ended(&self, why: String) {
        self.state().ended = Some(why);
        self.end.notify_waiters();
    }

    /// Waits until it has ended.
    pub(super) async fn end(&self) {
        let end = self.end.notified();
        if self.state().ended.is_none() {
            end.await;
        }
    }

    pub(super) fn partitions(&self) -> usize {
        self.state().assigned
    }

    /// Why it is not ready; empty when it is.
    pub(super) fn problems(&self, polled: Duration) -> Vec<String> {
        let state = self.state();
        let mut problems = Vec::new();
        if let Some(why) = &state.ended {
            problems.push(format!("it has ended: {why}"));
            return problems;
        }
        if let Some(why) = &state.down {
            problems.push(why.clone());
            return problems;
        }
        if !state.joined {
            problems.push("it waits for the group to assign partitions".into());
        }
        if polled > POLLED_WITHIN {
            problems.push(format!("it has not polled for {:.0} s", polled.as_secs_f64()));
        }
        if let Some((since, why)) = &state.commits_failing
            && since.elapsed() > COMMITS_FAIL
        {
            problems.push(format!(
                "commits have failed for {:.0} s: {why}",
                since.elapsed().as_secs_f64()
            ));
        }
        let blocked = state.blocked.iter();
        problems.extend(blocked.map(|((partition, _), (_, why))| format!("{partition}: {why}")));
        problems
    }
}

/// An event that cannot go on.
pub(super) struct Blocked<'a> {
    health: &'a MemberHealth,
    key: (String, Reason),
}

impl Blocked<'_> {
    /// Says why it is so now.
    pub(super) fn say(&self, why: String) {
        if let Some((_, said)) = self.health.state().blocked.get_mut(&self.key) {
            *said = why;
        }
    }
}

impl Drop for Blocked<'_> {
    fn drop(&mut self) {
        let mut state = self.health.state();
        if let Some((waiting, _)) = state.blocked.get_mut(&self.key) {
            *waiting -= 1;
            if *waiting == 0 {
                state.blocked.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_blocked_until_the_last_event_of_the_last_reason_goes_on() {
        let health = MemberHealth::default();
        health.assigned(1);
        let block = |reason, why: &str| health.block("orders/0".into(), reason, why.into());
        let problems = || health.problems(Duration::ZERO);
        let (first, second) = (block(Reason::Outage, "down"), block(Reason::Outage, "still down"));
        let third = block(Reason::FailurePath, "no tier");
        drop(first);
        assert_eq!(problems(), ["orders/0: no tier", "orders/0: still down"]);
        third.say("no tier yet".into());
        drop(second);
        assert_eq!(problems(), ["orders/0: no tier yet"]);
        drop(third);
        assert!(problems().is_empty());
    }
}
