//! What became of each event in the end: each handler's effect, or a copy that is kept.

use std::collections::{BTreeSet, HashSet};

use super::super::super::database::{Claimed, Ended};
use super::super::contract::Role;
use super::super::journal::{Did, Place, Stepped, What};
use super::books::Books;
use super::{Class, Violation};

pub(super) fn lost(books: &Books<'_>) -> Vec<Violation> {
    // By group, handler and where the event was first read.
    let mut handled: HashSet<(&str, &str, &Place)> = HashSet::new();
    let mut passed: HashSet<(&str, &Place)> = HashSet::new();
    let mut claimed: HashSet<&Claimed> = HashSet::new();
    for entry in books.entries {
        if let What::Transaction(Ended { committed: true, claims, .. }) = &entry.what {
            claimed.extend(claims);
        }
        let What::Step { place, step: Stepped { group, handler, did, .. }, .. } = &entry.what
        else {
            continue;
        };
        let origin = &books.records[place].origin;
        match (did, handler) {
            (Did::Finish | Did::Duplicate | Did::Drop { .. }, Some(handler)) => {
                handled.insert((group, handler, origin));
            }
            (Did::Skip | Did::Drop { .. }, None) => {
                passed.insert((group, place));
            }
            _ => {}
        }
    }
    for stored in books.records.values().filter(|stored| stored.copied) {
        let topic = &stored.record.topic;
        let role = |group: &str| books.contract.group(group).and_then(|duties| duties.role(topic));
        match (stored.address, stored.by) {
            (Some(address), _) if role(address.group) == Some(Role::DeadLetter) => {
                handled.insert((address.group, address.handler, &stored.origin));
            }
            (None, Some(by)) => {
                passed.insert((by, &stored.origin));
            }
            _ => {}
        }
    }
    let mut violations = Vec::new();
    for (place, stored) in &books.records {
        for duties in books.readers(&place.partition.topic) {
            let group = duties.name();
            if duties.role(&place.partition.topic) != Some(Role::Main)
                || passed.contains(&(group, place))
            {
                continue;
            }
            let nobody = BTreeSet::from(["consumer".to_owned()]);
            let handlers = duties.handlers(&place.partition.topic, stored.event_type());
            let handlers = handlers.unwrap_or(&nobody).iter();
            // The process that committed a claim may have died before it said so.
            let is_done = |handler: &str| {
                handled.contains(&(group, handler, place))
                    || duties.is_once() && claimed.contains(&stored.claim(group, handler))
            };
            for handler in handlers.filter(|handler| !is_done(handler)) {
                let what =
                    format!("{group}'s {handler} never finished {place}, and no copy is kept");
                let at = books.entries.len();
                violations.push(Violation::new(Class::EffectLost, at, [place.clone()], what));
            }
        }
    }
    violations
}
