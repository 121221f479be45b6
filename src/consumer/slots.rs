//! How many handlers run at once: an event that only waits holds none of them up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;

use super::assignment::Counted;

/// One shard's view of its member's slots.
///
/// A handler holds a slot while it runs, and not while its event waits for a retry in place, for an
/// outage to end, or for a blocked retry topic.
pub(super) struct Slots {
    /// The member's, shared by its shards.
    free: Arc<Semaphore>,
    /// Taken from those, and given up by a handler of this shard in the turn at hand: the next one takes it
    /// without a word to the other shards.
    spare: AtomicUsize,
    /// Events of this shard that wait for a slot.
    queued: AtomicUsize,
}

/// A place to run in, until it is dropped.
pub(super) struct Slot<'a>(&'a Slots);

impl Slots {
    pub(super) fn new(free: Arc<Semaphore>) -> Self {
        Self { free, spare: AtomicUsize::new(0), queued: AtomicUsize::new(0) }
    }

    /// Whether to begin with one more event: there is a slot, or nobody queues for the next one yet.
    pub(super) fn invites(&self) -> bool {
        self.spare.load(Ordering::Relaxed) > 0
            || self.free.available_permits() > 0
            || self.queued.load(Ordering::Relaxed) == 0
    }

    pub(super) async fn take(&self) -> Slot<'_> {
        let less = |spare: usize| spare.checked_sub(1);
        if self.spare.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok() {
            return Slot(self);
        }
        let slot = match self.free.try_acquire() {
            Ok(slot) => slot,
            Err(_) => {
                let _queued = Counted::new(&self.queued);
                Box::pin(self.free.acquire()).await.expect("nobody closes the slots")
            }
        };
        slot.forget();
        Slot(self)
    }

    /// Gives back to all shards what no handler of this one holds: at the end of each turn.
    pub(super) fn give_back(&self) {
        let spare = self.spare.swap(0, Ordering::Relaxed);
        if spare > 0 {
            self.free.add_permits(spare);
        }
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.0.spare.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn one_event_of_each_shard_queues_for_a_slot_and_is_woken_when_any_shard_gives_one_up() {
        let free = Arc::new(Semaphore::new(1));
        let (first, second) = (Slots::new(free.clone()), Slots::new(free));
        let slot = first.take().now_or_never().expect("there is one");
        assert!(second.invites(), "one may queue");
        let mut queued = Box::pin(second.take());
        assert!(queued.as_mut().now_or_never().is_none());
        assert!(!second.invites() && first.invites());
        drop(slot);
        first.give_back();
        drop(queued.now_or_never().expect("it was woken"));
        second.give_back();
        assert!(first.invites() && second.invites());
    }

    #[test]
    fn a_slot_that_is_given_up_is_the_shards_own_until_its_turn_ends() {
        let free = Arc::new(Semaphore::new(1));
        let (first, second) = (Slots::new(free.clone()), Slots::new(free.clone()));
        drop(first.take().now_or_never().expect("there is one"));
        assert_eq!(free.available_permits(), 0);
        drop(first.take().now_or_never().expect("it is its own"));
        assert!(second.take().now_or_never().is_none());
        first.give_back();
        assert!(second.take().now_or_never().is_some());
        drop((first, second));
        assert_eq!(free.available_permits(), 1, "a shard that ends keeps none");
    }
}
