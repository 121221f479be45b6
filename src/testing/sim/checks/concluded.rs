//! Which records a group has concluded: handled by all of their handlers, or moved to a topic that has
//! acknowledged them.

use std::collections::{HashMap, HashSet};

use super::super::super::database::{Claimed, Ended};
use super::super::contract::{Duties, Role};
use super::super::journal::{Did, Place, Stepped, What};
use super::books::{Address, Books};
use crate::transport::memory::Operation;

/// What is known up to some entry.
#[derive(Default)]
pub(super) struct Concluded<'a> {
    /// By group and place: handlers that are done with it.
    handled: HashMap<(&'a str, &'a Place), HashSet<&'a str>>,
    /// By group and handler, source and id: events whose claim is committed. Where that one's process died
    /// right then, and the offset is stored with the claim, no step says so.
    claimed: HashSet<&'a Claimed>,
    /// Passed over by the consumer itself.
    passed: HashSet<(&'a str, &'a Place)>,
    /// Copies on retry and dead-letter topics, by where they were first read.
    moved: HashSet<(Place, Address<'a>)>,
    /// How often a consumer said that a copy of a record was acknowledged.
    acknowledged: HashMap<(&'a str, &'a Place), usize>,
    /// Copies that are for no handler: quarantine, dead letters that nobody takes.
    aside: HashSet<(&'a str, Place)>,
}

impl<'a> Concluded<'a> {
    /// Takes an entry in.
    pub(super) fn take(&mut self, books: &'a Books<'a>, at: usize) {
        match &books.entries[at].what {
            What::Broker(Operation::Appended { record, .. }) => {
                let stored = &books.records[&Place::of(record)];
                match (stored.address, stored.by) {
                    (Some(address), _) => {
                        self.moved.insert((stored.origin.clone(), address));
                    }
                    (None, Some(by)) if stored.copied => {
                        self.aside.insert((by, stored.origin.clone()));
                    }
                    (None, _) => {}
                }
            }
            What::Transaction(Ended { committed: true, claims, .. }) => self.claimed.extend(claims),
            What::Step { place, step: Stepped { group, handler, did, .. }, .. } => {
                match (did, handler) {
                    (Did::Finish | Did::Duplicate | Did::Drop { .. }, Some(handler)) => {
                        self.handled.entry((group, place)).or_default().insert(handler);
                    }
                    (Did::Skip | Did::Drop { .. }, None) => {
                        self.passed.insert((group, place));
                    }
                    (Did::Move { .. }, _) => {
                        *self.acknowledged.entry((group, place)).or_default() += 1
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// Whether a group is done with a record; else what is missing.
    pub(super) fn missing(
        &self,
        books: &Books<'_>,
        duties: &Duties,
        place: &Place,
    ) -> Option<String> {
        let stored = &books.records[place];
        let group = duties.name();
        if self.passed.contains(&(group, place)) {
            return None;
        }
        let acknowledged = self.acknowledged.get(&(group, place)).copied().unwrap_or_default();
        if acknowledged > 0 && self.aside.contains(&(group, stored.origin.clone())) {
            return None;
        }
        let done = self.handled.get(&(group, place));
        let unfinished = |handler: &&str| {
            let done = done.is_some_and(|done| done.contains(handler));
            !(done || duties.is_once() && self.claimed.contains(&stored.claim(group, handler)))
        };
        let lacks = |handler: &str, attempt: u32| {
            let address = Address { group, handler, attempt };
            !self.moved.contains(&(stored.origin.clone(), address))
        };
        match (duties.role(&place.partition.topic)?, stored.address) {
            (Role::Main, _) => {
                let topic = &place.partition.topic;
                let Some(handlers) = duties.handlers(topic, stored.event_type()) else {
                    return Some("an event that nobody takes lies in no dead letter".into());
                };
                let mut moved = handlers.iter().map(String::as_str).filter(unfinished);
                if let Some(lacking) = moved.clone().find(|handler| lacks(handler, 1)) {
                    return Some(format!("{lacking} has not finished it"));
                }
                let last = moved.nth(acknowledged)?;
                Some(format!("the copy for {last} is not acknowledged"))
            }
            (Role::Tier(..), Some(Address { group: whose, handler, attempt }))
                if whose == group =>
            {
                if !unfinished(&handler) {
                    return None;
                }
                if lacks(handler, attempt + 1) {
                    return Some(format!("{handler} has not finished it"));
                }
                (acknowledged == 0).then(|| format!("the copy for {handler} is not acknowledged"))
            }
            (Role::Tier(..), _) => Some("it was not passed over".into()),
            (Role::DeadLetter | Role::Quarantine, _) => None,
        }
    }
}
