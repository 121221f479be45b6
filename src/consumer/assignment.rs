//! One assignment of a partition, as the work on it sees it.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, SemaphorePermit};

use super::ledger::Ledger;
use super::plan::Place;
use crate::transport::TopicPartition;

/// From assign to revoke. Its id, which its member never gives twice, is the epoch: a completion of an
/// older assignment finds nobody.
#[derive(Debug)]
pub(super) struct Assignment {
    pub(super) id: u64,
    pub(super) partition: TopicPartition,
    pub(super) place: Place,
    /// The highest place at which work has begun, plus one; and in its highest bits how the end stands.
    /// One number, so that no work begins unseen while it is revoked.
    state: AtomicU64,
    wake: Notify,
    /// Work that waits because a retry or dead-letter topic does not take its event.
    pub(super) stuck: AtomicUsize,
    /// Work that waits because a handler says that the world is down, or what it answered cannot be published.
    pub(super) outage: AtomicUsize,
    /// Where it stands, where that is stored with what handlers write.
    stand: Option<Mutex<Stand>>,
    /// How many of its events may have begun, where that is bounded: they queue in their order.
    room: Option<Semaphore>,
}

/// Where the ledger stood when it was looked at last, and what of it is stored.
#[derive(Debug, Default)]
struct Stand {
    watermark: Option<i64>,
    /// Place and offset of the first event that was not done.
    front: Option<(u64, i64)>,
    stored: Option<i64>,
}

const REVOKED: u64 = 1 << 63;
const DROPPED: u64 = 1 << 62;
const BEGUN: u64 = DROPPED - 1;

/// Counts up until it is dropped.
pub(super) struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    pub(super) fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Assignment {
    /// `keeps` says whether where it stands is stored with what handlers write.
    pub(super) fn new(id: u64, partition: TopicPartition, place: Place, keeps: bool) -> Self {
        Self {
            id,
            partition,
            place,
            state: AtomicU64::new(0),
            wake: Notify::new(),
            stuck: AtomicUsize::new(0),
            outage: AtomicUsize::new(0),
            stand: keeps.then(Mutex::default),
            room: None,
        }
    }

    /// Bounds how many of its events may have begun at once.
    pub(super) fn bounded(self, events: Option<usize>) -> Self {
        Self { room: events.map(Semaphore::new), ..self }
    }

    /// Waits until one more of its events may begin; `None` where that is not bounded.
    pub(super) async fn room(&self) -> Option<SemaphorePermit<'_>> {
        let room = self.room.as_ref()?;
        // It is never closed.
        Box::pin(room.acquire()).await.ok()
    }

    /// Notes where its ledger stands.
    pub(super) fn stands(&self, ledger: &Ledger) {
        if let Some(stand) = &self.stand {
            let mut stand = lock(stand);
            (stand.watermark, stand.front) = (ledger.watermark(), ledger.front());
        }
    }

    /// The offset to store with the event at `place`: where its partition stands, and behind that
    /// event where it is the first that is not done and nothing else of it is left (`last`). `None`
    /// where that is stored, or not to be.
    pub(super) fn to_store(&self, place: u64, last: bool) -> Option<i64> {
        let stand = lock(self.stand.as_ref()?);
        let front = stand.front.filter(|(front, _)| last && *front == place);
        let next = front.map(|(_, offset)| offset + 1).max(stand.watermark);
        next.filter(|next| stand.stored.is_none_or(|stored| stored < *next))
    }

    /// Notes what was stored.
    pub(super) fn stored(&self, next: i64) {
        if let Some(stand) = &self.stand {
            let mut stand = lock(stand);
            stand.stored = stand.stored.max(Some(next));
        }
    }

    /// Notes that work on the event at this place of the ledger begins; `false` when it must not any
    /// more: its partition is revoked, and no later event of it has begun. Those before one that has
    /// begun are still to be done, for else that one would be done again.
    pub(super) fn begin(&self, place: u64) -> bool {
        let begin = |state| {
            may_begin(state, place).then(|| state & !BEGUN | (state & BEGUN).max(place + 1))
        };
        self.state.fetch_update(Ordering::SeqCst, Ordering::SeqCst, begin).is_ok()
    }

    /// Whether [`begin`](Self::begin) would answer `true`.
    pub(super) fn may_begin(&self, place: u64) -> bool {
        may_begin(self.state.load(Ordering::SeqCst), place)
    }

    /// The place behind the highest one that has begun.
    pub(super) fn begun(&self) -> u64 {
        self.state.load(Ordering::SeqCst) & BEGUN
    }

    /// Nothing begins any more behind what has begun, and work that waits for the world gives up.
    pub(super) fn revoke(&self) {
        self.state.fetch_or(REVOKED, Ordering::SeqCst);
        self.wake.notify_waiters();
    }

    /// Nothing begins any more, and what still runs is to be dropped.
    pub(super) fn drop_work(&self) {
        self.state.fetch_or(REVOKED | DROPPED, Ordering::SeqCst);
        self.wake.notify_waiters();
    }

    pub(super) fn is_revoked(&self) -> bool {
        self.state.load(Ordering::SeqCst) & REVOKED != 0
    }

    pub(super) fn is_dropped(&self) -> bool {
        self.state.load(Ordering::SeqCst) & DROPPED != 0
    }

    /// Waits; answers `false`, at once, when the assignment is revoked.
    pub(super) async fn wait(&self, duration: Duration) -> bool {
        tokio::time::timeout(duration, self.revoked()).await.is_err()
    }

    /// Waits for the revoke.
    pub(super) async fn revoked(&self) {
        let revoked = self.wake.notified();
        if !self.is_revoked() {
            revoked.await;
        }
    }
}

fn lock(stand: &Mutex<Stand>) -> MutexGuard<'_, Stand> {
    stand.lock().unwrap_or_else(PoisonError::into_inner)
}

fn may_begin(state: u64, place: u64) -> bool {
    state & DROPPED == 0 && (state & REVOKED == 0 || place < state & BEGUN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consumer::plan::MainTopic;
    use crate::event::TopicName;
    use crate::retry::RetryPolicy;
    use crate::topic::{TopicNaming, TopicPlan};

    #[test]
    fn what_is_stored_with_an_event_passes_it_only_where_nothing_before_it_is_open() {
        let name = TopicName::from_static("t");
        let around =
            TopicPlan::of(&name, "g", &RetryPolicy::none(), &TopicNaming::default()).unwrap();
        let main = MainTopic {
            name: name.clone(),
            number: 0,
            around,
            declared: Vec::new(),
            routes: Vec::new(),
        };
        let place = Place { main: std::sync::Arc::new(main), tier: None };
        let partition = TopicPartition { topic: name, partition: 0 };
        let assignment = Assignment::new(1, partition, place, true);
        let mut ledger = Ledger::default();
        let places: Vec<_> = [10, 11, 15].map(|offset| ledger.read(offset)).into();
        assignment.stands(&ledger);
        assert_eq!(assignment.to_store(places[1], true), None, "the first is open");
        assert_eq!(assignment.to_store(places[0], false), None, "a handler of it is left");
        assert_eq!(assignment.to_store(places[0], true), Some(11));
        assignment.stored(11);
        ledger.done(places[1]);
        ledger.done(places[0]);
        assert_eq!(assignment.to_store(places[2], true), None, "it has not heard of that yet");
        assignment.stands(&ledger);
        assert_eq!(assignment.to_store(places[2], false), Some(12));
        assert_eq!(assignment.to_store(places[2], true), Some(16));
        assignment.stored(16);
        assert_eq!(assignment.to_store(places[2], true), None, "it is stored");
    }
}
