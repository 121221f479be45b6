//! What was committed in databases: published then, only then, and in order; effects exactly once.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::super::super::database::{Claimed, Ended, Stored};
use super::super::journal::{Did, EPOCH, Place, Promise, Stepped, What};
use super::books::Books;
use super::{Class, Violation};
use crate::clock::millis;

/// An event of an outbox, and the entry of the transaction that committed it.
struct Row<'a> {
    stored: &'a Stored,
    held: &'a [String],
    at: usize,
}

/// Where a copy lies, and the entry that says so.
type Copies<'a> = Vec<(&'a Place, usize)>;

pub(super) fn check(books: &Books<'_>, settled: bool) -> Vec<Violation> {
    let mut rows: BTreeMap<Promise, Vec<Row<'_>>> = BTreeMap::new();
    let mut in_outboxes: HashSet<Promise> = HashSet::new();
    let mut in_order = Vec::new();
    for (at, entry) in books.entries.iter().enumerate() {
        let What::Transaction(Ended { committed, events, held, .. }) = &entry.what else {
            continue;
        };
        for stored in events {
            let promise = promise(stored);
            in_outboxes.insert(promise.clone());
            if *committed {
                in_order.push(promise.clone());
                rows.entry(promise).or_default().push(Row { stored, held, at });
            }
        }
    }
    let copies = copies(books, &in_outboxes);
    let mut violations = Vec::new();
    for (promise, copies) in &copies {
        let committed = rows.get(promise).and_then(|rows| rows.first());
        let (place, at) = copies[0];
        match committed {
            Some(row) if row.at < at => violations.extend(early(books, row, place, at)),
            _ => {
                let what = format!("{promise} is published before, or without, its commit");
                let about = [place.clone()];
                violations.push(Violation::new(Class::Unpublished, at, about, what));
            }
        }
    }
    if settled {
        let end = books.entries.len();
        for promise in rows.keys().filter(|promise| !copies.contains_key(promise)) {
            let what = format!("{promise} was committed and is not published");
            violations.push(Violation::new(Class::Unpublished, end, [], what));
        }
    }
    violations.extend(order(&rows, &in_order, &copies));
    violations.extend(effects(books));
    violations.sort_by(|a, b| (a.at, &a.what).cmp(&(b.at, &b.what)));
    violations
}

fn promise(stored: &Stored) -> Promise {
    let record = &stored.record;
    Promise {
        topic: record.topic.clone(),
        key: record.key.clone(),
        payload: record.payload.clone().unwrap_or_default(),
    }
}

/// What of the outboxes lies on the broker, in the order in which it was stored there.
fn copies<'a>(books: &'a Books<'_>, of: &HashSet<Promise>) -> BTreeMap<Promise, Copies<'a>> {
    let mut copies: BTreeMap<Promise, Copies<'a>> = BTreeMap::new();
    for (place, stored) in books.records.iter().filter(|(_, stored)| !stored.copied) {
        let promise = Promise {
            topic: place.partition.topic.clone(),
            key: stored.record.key.clone(),
            payload: stored.record.payload.clone().unwrap_or_default(),
        };
        if of.contains(&promise) {
            copies.entry(promise).or_default().push((place, stored.at));
        }
    }
    copies.values_mut().for_each(|copies| copies.sort_by_key(|(_, at)| *at));
    copies
}

/// A delayed event is not published before its time.
fn early(books: &Books<'_>, row: &Row<'_>, place: &Place, at: usize) -> Option<Violation> {
    let due = row.stored.publish_at?;
    let now = EPOCH.saturating_add(millis(books.entries[at].at));
    (now < due).then(|| {
        let what = format!("{place} is published {} ms before its time", due - now);
        Violation::new(Class::Early, at, [place.clone()], what)
    })
}

/// Of a key, events of transactions that excluded each other lie in the order of their commits, the
/// first copy of each counted.
fn order(
    rows: &BTreeMap<Promise, Vec<Row<'_>>>,
    in_order: &[Promise],
    copies: &BTreeMap<Promise, Copies<'_>>,
) -> Vec<Violation> {
    let mut violations = Vec::new();
    // By topic, key and what was held: the last one that was committed and published.
    let mut last: HashMap<_, (&Place, usize)> = HashMap::new();
    for promise in in_order {
        let [row] = &*rows[promise] else { continue };
        let Some(copies) = copies.get(promise) else { continue };
        let (place, at) = copies[0];
        if row.stored.publish_at.is_some() || promise.key.is_none() {
            continue;
        }
        for held in row.held {
            let before = last.insert((&promise.topic, &promise.key, held), (place, at));
            if let Some((before, _)) = before
                && before.partition == place.partition
                && before.offset > place.offset
            {
                let what = format!("{promise} lies before an event that was committed first");
                let about = [place.clone(), before.clone()];
                violations.push(Violation::new(Class::OutOfOrder, at, about, what));
            }
        }
    }
    violations
}

/// Effects happen once, and what a handler says it did was committed with its claim.
fn effects(books: &Books<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut done: BTreeSet<&str> = BTreeSet::new();
    let mut claimed: HashMap<&Claimed, usize> = HashMap::new();
    for (at, entry) in books.entries.iter().enumerate() {
        match &entry.what {
            What::Transaction(Ended { committed: true, claims, effects, .. }) => {
                for effect in effects {
                    if !done.insert(effect) {
                        let what = format!("the effect {effect:?} happens again");
                        violations.push(Violation::new(Class::EffectDoubled, at, [], what));
                    }
                }
                for claim in claims {
                    let once = books.contract.group(&claim.group).is_some_and(|of| of.is_once());
                    if once && effects.is_empty() {
                        let what = format!("{claim:?} is committed without what the handler did");
                        violations.push(Violation::new(Class::EffectLost, at, [], what));
                    }
                    claimed.insert(claim, at);
                }
            }
            What::Step {
                place,
                step:
                    Stepped { group, handler: Some(handler), did: Did::Finish | Did::Duplicate, .. },
                ..
            } if books.contract.group(group).is_some_and(|duties| duties.is_once()) => {
                let claim = books.records[place].claim(group, handler);
                if !claimed.contains_key(&claim) {
                    let what = format!(
                        "{group}'s {handler} is done with {place}, and nothing of it is committed"
                    );
                    let about = [place.clone()];
                    violations.push(Violation::new(Class::EffectLost, at, about, what));
                }
            }
            _ => {}
        }
    }
    violations
}
