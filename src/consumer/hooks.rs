//! What the user wants to hear of a consumer's life.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use super::builder::ConsumerBuilder;
use crate::task;
use crate::transport::{Received, TopicPartition, TransportError};

type Heard = Box<dyn Fn() + Send + Sync>;
type HeardOf<T> = Box<dyn Fn(usize, &T) + Send + Sync>;
type HeardOfMember = Box<dyn Fn(usize) + Send + Sync>;

/// Callbacks, called in the order they were given. Those that are told a member run on its own task: short,
/// please. One that nobody gave costs a look whether there is one.
#[derive(Default)]
pub(super) struct Hooks {
    started: Vec<Heard>,
    creating: Vec<HeardOfMember>,
    created: Vec<HeardOfMember>,
    subscribed: Vec<HeardOfMember>,
    assigned: Vec<HeardOf<[TopicPartition]>>,
    record: Vec<HeardOf<Received>>,
    error: Vec<HeardOf<TransportError>>,
    partition_end: Vec<HeardOf<TopicPartition>>,
    revoked: Vec<HeardOf<[TopicPartition]>>,
    stopping: Vec<HeardOfMember>,
    stopped: Vec<Heard>,
    /// Members that have begun to stop: one that panics then has said so already.
    that_stop: Mutex<BTreeSet<usize>>,
}

impl Hooks {
    pub(super) fn started(&self) {
        self.started.iter().for_each(|hook| harmless("on_started", hook));
    }

    pub(super) fn creating(&self, member: usize) {
        self.creating.iter().for_each(|hook| hook(member));
    }

    pub(super) fn created(&self, member: usize) {
        self.created.iter().for_each(|hook| hook(member));
    }

    pub(super) fn subscribed(&self, member: usize) {
        self.subscribed.iter().for_each(|hook| hook(member));
    }

    pub(super) fn assigned(&self, member: usize, partitions: &[TopicPartition]) {
        self.assigned.iter().for_each(|hook| hook(member, partitions));
    }

    pub(super) fn records(&self, member: usize, records: &[Received]) {
        if !self.record.is_empty() {
            for record in records {
                self.record.iter().for_each(|hook| hook(member, record));
            }
        }
    }

    pub(super) fn error(&self, member: usize, error: &TransportError) {
        self.error.iter().for_each(|hook| hook(member, error));
    }

    /// Whether the source has to tell of ends.
    pub(super) fn wants_ends(&self) -> bool {
        !self.partition_end.is_empty()
    }

    pub(super) fn partition_end(&self, member: usize, partition: &TopicPartition) {
        self.partition_end.iter().for_each(|hook| hook(member, partition));
    }

    pub(super) fn revoked(&self, member: usize, partitions: &[TopicPartition]) {
        self.revoked.iter().for_each(|hook| hook(member, partitions));
    }

    /// A member that stops is not started again: what it still has to do must be done.
    pub(super) fn stopping(&self, member: usize) {
        let mut that_stop = self.that_stop.lock().unwrap_or_else(PoisonError::into_inner);
        if !that_stop.insert(member) {
            return;
        }
        drop(that_stop);
        self.stopping.iter().for_each(|hook| harmless("on_stopping", || hook(member)));
    }

    pub(super) fn stopped(&self) {
        self.stopped.iter().for_each(|hook| harmless("on_stopped", hook));
    }
}

/// Calls a hook whose panic goes to the log.
fn harmless(name: &str, hook: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(hook)) {
        let said = task::message(&*panic).unwrap_or("no message");
        tracing::error!(hook = name, said, "a hook of a consumer panicked");
    }
}

/// Hooks. Most are told the number of a member, from 0, and run on its task: short, please, since nothing else
/// of the member goes on meanwhile. One that panics there ends the member, which is
/// [started again](ConsumerBuilder::restarts).
impl ConsumerBuilder {
    /// Called when the consumer's members have been started. A panic is logged.
    #[must_use]
    pub fn on_started(mut self, hook: impl Fn() + Send + Sync + 'static) -> Self {
        self.hooks.started.push(Box::new(hook));
        self
    }

    /// Called before a member's client is made, at the start and when it is started again.
    #[must_use]
    pub fn on_creating(mut self, hook: impl Fn(usize) + Send + Sync + 'static) -> Self {
        self.hooks.creating.push(Box::new(hook));
        self
    }

    /// Called when a member's client has been made; it joins the group by itself.
    #[must_use]
    pub fn on_created(mut self, hook: impl Fn(usize) + Send + Sync + 'static) -> Self {
        self.hooks.created.push(Box::new(hook));
        self
    }

    /// Called when a member is in the group: before it is told its first partitions, be it none.
    #[must_use]
    pub fn on_subscribed(mut self, hook: impl Fn(usize) + Send + Sync + 'static) -> Self {
        self.hooks.subscribed.push(Box::new(hook));
        self
    }

    /// Called with the partitions that a member was given, retry topics included.
    #[must_use]
    pub fn on_assigned(
        mut self,
        hook: impl Fn(usize, &[TopicPartition]) + Send + Sync + 'static,
    ) -> Self {
        self.hooks.assigned.push(Box::new(hook));
        self
    }

    /// Called with each record that a member receives, before it is read or waits for its time; also with one
    /// that comes again, or is another group's.
    #[must_use]
    pub fn on_record(mut self, hook: impl Fn(usize, &Received) + Send + Sync + 'static) -> Self {
        self.hooks.record.push(Box::new(hook));
        self
    }

    /// Called with each error that a member's client reports: one that it goes on from, or one that ends it.
    #[must_use]
    pub fn on_error(
        mut self,
        hook: impl Fn(usize, &TransportError) + Send + Sync + 'static,
    ) -> Self {
        self.hooks.error.push(Box::new(hook));
        self
    }

    /// Called each time that a member has received all that a partition holds, retry topics included; it may
    /// not be handled yet, and more may come.
    #[must_use]
    pub fn on_partition_end(
        mut self,
        hook: impl Fn(usize, &TopicPartition) + Send + Sync + 'static,
    ) -> Self {
        self.hooks.partition_end.push(Box::new(hook));
        self
    }

    /// Called with the partitions that are being taken from a member.
    #[must_use]
    pub fn on_revoked(
        mut self,
        hook: impl Fn(usize, &[TopicPartition]) + Send + Sync + 'static,
    ) -> Self {
        self.hooks.revoked.push(Box::new(hook));
        self
    }

    /// Called once when a member begins to stop: it was told to, or cannot go on. A panic is logged.
    #[must_use]
    pub fn on_stopping(mut self, hook: impl Fn(usize) + Send + Sync + 'static) -> Self {
        self.hooks.stopping.push(Box::new(hook));
        self
    }

    /// Called when the consumer has stopped. A panic is logged.
    #[must_use]
    pub fn on_stopped(mut self, hook: impl Fn() + Send + Sync + 'static) -> Self {
        self.hooks.stopped.push(Box::new(hook));
        self
    }
}
