//! What was published, handled and moved, as typed events.

use std::sync::Arc;
use std::time::Duration;

use super::super::step::{Did, Stepped};
use super::TestKit;
use super::seen::Seen;
use super::story::Entry;
use crate::event::{Envelope, IntegrationEvent, TopicName, header};
use crate::transport::{Aside, Received};

/// An event that a consumer moved to a retry, dead-letter or quarantine topic.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Moved<E> {
    /// The event; of a record in quarantine, which nobody could read, the record.
    pub event: E,
    /// When, since the kit was made.
    pub at: Duration,
    /// The consumer group.
    pub group: String,
    /// The handler that failed; `None` where no handler was to blame.
    pub handler: Option<String>,
    /// Which delivery to the handler had failed, from 1; 0 without a handler.
    pub attempt: u32,
    /// The topic.
    pub to: TopicName,
    /// Transient, permanent, undecodable, unknown.
    pub kind: String,
    /// What was said to have gone wrong, cut at 1 KiB.
    pub reason: String,
}

impl<E> Moved<E> {
    /// Whether it is this handler's, named as `handler` or `group/handler`.
    pub(super) fn is_by(&self, name: &str) -> bool {
        self.handler.as_deref().is_some_and(|handler| {
            handler == name
                || name.strip_prefix(&*self.group).and_then(|n| n.strip_prefix('/'))
                    == Some(handler)
        })
    }
}

impl TestKit {
    /// The events of a type that were published, in order. Retry, dead-letter and quarantine topics
    /// do not count, and records that say they are one and cannot be read do not either.
    pub fn published<E: IntegrationEvent>(&self) -> Vec<Envelope<E>> {
        let stored = self.story.entries().into_iter().filter(|entry| entry.step().is_none());
        stored
            .filter(|entry| entry.record.is_on_main::<E>())
            .filter_map(|entry| entry.record.event::<E>()?.ok())
            .collect()
    }

    /// The events of a type that a handler finished, in order: once for each time. The handler's
    /// name, or `group/handler`.
    pub fn handled<E: IntegrationEvent>(&self, handler: &str) -> Vec<Envelope<E>> {
        self.finished(handler, |what| matches!(what, Did::Finish))
    }

    /// The events of a type that a handler dropped, in order.
    pub fn dropped<E: IntegrationEvent>(&self, handler: &str) -> Vec<Envelope<E>> {
        self.finished(handler, |what| matches!(what, Did::Drop { .. }))
    }

    fn finished<E: IntegrationEvent>(
        &self,
        handler: &str,
        how: impl Fn(&Did) -> bool,
    ) -> Vec<Envelope<E>> {
        let entries = self.story.entries();
        let by = |taken: &Stepped| taken.is_by(handler) && how(&taken.did);
        let steps = entries.iter().filter(|entry| entry.step().is_some_and(by));
        steps.filter_map(|entry| entry.record.event::<E>()?.ok()).collect()
    }

    /// The events of a type that were put on a retry tier, in order: once for each time.
    pub fn retried<E: IntegrationEvent>(&self) -> Vec<Moved<Envelope<E>>> {
        self.moved(Aside::Retry, |record| record.event::<E>()?.ok())
    }

    /// The events of a type that became dead letters, in order.
    pub fn dead_lettered<E: IntegrationEvent>(&self) -> Vec<Moved<Envelope<E>>> {
        self.moved(Aside::DeadLetter, |record| record.event::<E>()?.ok())
    }

    /// Every record that was put in quarantine, in order.
    pub fn quarantined(&self) -> Vec<Moved<Received>> {
        self.moved(Aside::Quarantine, |record| Some((*record.record).clone()))
    }

    fn moved<T>(&self, wanted: Aside, event: impl Fn(&Seen) -> Option<T>) -> Vec<Moved<T>> {
        let moved = |entry: Arc<Entry>| {
            let taken = entry.step()?;
            let Did::Move { to, aside } = &taken.did else { return None };
            let said = |name| entry.copy().and_then(|copy| copy.header(name)).unwrap_or_default();
            Some(Moved {
                event: (*aside == wanted).then(|| event(&entry.record)).flatten()?,
                at: entry.at,
                group: taken.group.clone(),
                handler: taken.handler.clone(),
                attempt: taken.attempt,
                to: to.clone(),
                kind: said(header::ERROR_KIND).to_owned(),
                reason: said(header::ERROR_MESSAGE).to_owned(),
            })
        };
        self.story.entries().into_iter().filter_map(moved).collect()
    }
}
