//! How many handlers run at once: an event that only waits holds none of them up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};

use super::assignment::Counted;

/// One shard's view of its member's slots.
///
/// A handler holds a slot while it runs, and not while its event waits for a retry in place, for an
/// outage to end, or for a blocked retry topic.
pub(super) struct Slots {
    /// The member's, shared by its shards.
    free: Arc<Semaphore>,
    /// Events of this shard that wait for a slot.
    queued: AtomicUsize,
}

impl Slots {
    pub(super) fn new(free: Arc<Semaphore>) -> Self {
        Self { free, queued: AtomicUsize::new(0) }
    }

    /// Whether to begin with one more event: there is a slot, or nobody queues for the next one yet.
    pub(super) fn invites(&self) -> bool {
        self.free.available_permits() > 0 || self.queued.load(Ordering::Relaxed) == 0
    }

    pub(super) async fn take(&self) -> SemaphorePermit<'_> {
        if let Ok(slot) = self.free.try_acquire() {
            return slot;
        }
        let _queued = Counted::new(&self.queued);
        self.free.acquire().await.expect("nobody closes the slots")
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
        drop(queued.now_or_never().expect("it was woken"));
        assert!(first.invites() && second.invites());
    }
}
