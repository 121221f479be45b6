//! A transport with a bug: so many of its members' next commits panic, on the task of the member.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tidings::clock::BrokerClock;
use tidings::event::Source as ServiceName;
use tidings::retry::Chance;
use tidings::transport::*;

#[derive(Clone)]
pub struct Panics<T> {
    inner: T,
    commits: Arc<AtomicUsize>,
}

impl<T> Panics<T> {
    pub fn new(inner: T) -> Self {
        Self { inner, commits: Arc::default() }
    }

    /// Lets so many commits panic from now on.
    pub fn commits(&self, panics: usize) {
        self.commits.store(panics, Ordering::SeqCst);
    }

    /// How many are still to panic.
    pub fn left(&self) -> usize {
        self.commits.load(Ordering::SeqCst)
    }
}

impl<T: Transport> Transport for Panics<T> {
    fn service(&self) -> &ServiceName {
        self.inner.service()
    }

    fn system(&self) -> &'static str {
        self.inner.system()
    }

    fn producer(&self) -> Arc<dyn Producer> {
        self.inner.producer()
    }

    fn admin(&self) -> Arc<dyn Admin> {
        self.inner.admin()
    }

    fn subscribe(&self, subscription: Subscription) -> Result<Source, TransportError> {
        let source = self.inner.subscribe(subscription)?;
        let control = Control { inner: source.control, commits: self.commits.clone() };
        Ok(Source { events: source.events, control: Arc::new(control) })
    }

    fn clock(&self) -> &BrokerClock {
        self.inner.clock()
    }

    fn chance(&self) -> Chance {
        self.inner.chance()
    }

    fn consumer_defaults(&self) -> ConsumerDefaults {
        self.inner.consumer_defaults()
    }
}

#[derive(Debug)]
struct Control {
    inner: Arc<dyn SourceControl>,
    commits: Arc<AtomicUsize>,
}

impl SourceControl for Control {
    fn pause(&self, partitions: Vec<TopicPartition>) {
        self.inner.pause(partitions);
    }

    fn resume(&self, partitions: Vec<TopicPartition>) {
        self.inner.resume(partitions);
    }

    fn seek(&self, offsets: Offsets) {
        self.inner.seek(offsets);
    }

    fn commit(&self, offsets: Offsets) {
        let less = |left: usize| left.checked_sub(1);
        if self.commits.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok() {
            panic!("a bug in a commit of {offsets:?}");
        }
        self.inner.commit(offsets);
    }

    fn close(&self) {
        self.inner.close();
    }

    fn polled(&self) -> Duration {
        self.inner.polled()
    }

    fn member(&self) -> Option<GroupMember> {
        self.inner.member()
    }
}
