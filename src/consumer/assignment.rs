//! One assignment of a partition, as the work on it sees it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use super::plan::Place;
use crate::transport::TopicPartition;

/// From assign to revoke. Its id, which its member never gives twice, is the epoch: a completion of an
/// older assignment finds nobody.
#[derive(Debug)]
pub(super) struct Assignment {
    pub(super) id: u64,
    pub(super) partition: TopicPartition,
    pub(super) place: Place,
    revoked: AtomicBool,
    dropped: AtomicBool,
    wake: Notify,
    running: AtomicUsize,
    /// Work that waits because a retry or dead-letter topic does not take its event.
    pub(super) stuck: AtomicUsize,
    /// Work that waits because a handler says that the world is down.
    pub(super) outage: AtomicUsize,
}

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
    pub(super) fn new(id: u64, partition: TopicPartition, place: Place) -> Self {
        Self {
            id,
            partition,
            place,
            revoked: AtomicBool::new(false),
            dropped: AtomicBool::new(false),
            wake: Notify::new(),
            running: AtomicUsize::new(0),
            stuck: AtomicUsize::new(0),
            outage: AtomicUsize::new(0),
        }
    }

    /// Whether work on one more event may begin; if so, [`left`](Self::left) must follow.
    pub(super) fn enter(&self) -> bool {
        self.running.fetch_add(1, Ordering::SeqCst);
        if self.revoked.load(Ordering::SeqCst) {
            self.left();
            return false;
        }
        true
    }

    pub(super) fn left(&self) {
        self.running.fetch_sub(1, Ordering::SeqCst);
    }

    pub(super) fn is_idle(&self) -> bool {
        self.running.load(Ordering::SeqCst) == 0
    }

    /// No new work begins and waiting work gives up; what runs may finish.
    pub(super) fn revoke(&self) {
        self.revoked.store(true, Ordering::SeqCst);
        self.wake.notify_waiters();
    }

    /// What still runs is to be dropped.
    pub(super) fn drop_work(&self) {
        self.revoke();
        self.dropped.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::SeqCst)
    }

    pub(super) fn is_dropped(&self) -> bool {
        self.dropped.load(Ordering::SeqCst)
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
