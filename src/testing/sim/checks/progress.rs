//! What must hold at each step: commits, the order of keys, due times, attempts.

use std::collections::HashMap;

use super::super::contract::{Duties, Role};
use super::super::journal::{Did, EPOCH, Place, Stepped, What};
use super::books::Books;
use super::concluded::Concluded;
use super::{Class, Violation};
use crate::clock::millis;
use crate::transport::memory::Operation;
use crate::transport::{Timestamp, TopicPartition};

pub(super) fn check(books: &Books<'_>) -> Vec<Violation> {
    let mut concluded = Concluded::default();
    let mut committed: HashMap<(&str, &TopicPartition), i64> = HashMap::new();
    let mut violations = Vec::new();
    for (at, entry) in books.entries.iter().enumerate() {
        match &entry.what {
            What::Broker(Operation::Committed { group, offsets, refused: None, .. }) => {
                let Some(duties) = books.contract.group(group) else { continue };
                for (partition, offset) in offsets {
                    let from = committed.entry((group, partition)).or_default();
                    let passed = books.between(partition, *from, *offset);
                    let open =
                        passed.filter(|(_, stored)| stored.at < at).find_map(|(place, _)| {
                            Some((place, concluded.missing(books, duties, place)?))
                        });
                    if let Some((place, missing)) = open {
                        let what = format!(
                            "{group} commits {partition} to {offset}, past {place}: {missing}"
                        );
                        let class = Class::CommittedUnfinished;
                        violations.push(Violation::new(class, at, [place.clone()], what));
                    }
                    if *offset < *from {
                        let what =
                            format!("{group} commits {partition} to {offset}, back from {from}");
                        violations.push(Violation::new(Class::CommitMovedBack, at, [], what));
                    }
                    *from = *offset;
                }
            }
            What::Step { place, step, .. } if step.did == Did::Begin => {
                let Some(duties) = books.contract.group(&step.group) else { continue };
                violations.extend(early(books, duties, place, at));
                violations.extend(attempt(books, duties, place, step, at));
                violations.extend(out_of_order(books, &concluded, duties, place, at));
            }
            _ => {}
        }
        concluded.take(books, at);
    }
    violations
}

/// An event of a tier runs one tier after its append, in the broker's time.
fn early(books: &Books<'_>, duties: &Duties, place: &Place, at: usize) -> Option<Violation> {
    let Some(Role::Tier(_, delay)) = duties.role(&place.partition.topic) else { return None };
    let Some(Timestamp::Appended(appended)) = books.records.get(place)?.record.timestamp else {
        return None;
    };
    let due = appended.saturating_add(millis(delay));
    let now = EPOCH.saturating_add(millis(books.entries[at].at));
    (now < due).then(|| {
        let what = format!("{place} runs {} ms before it is due", due - now);
        Violation::new(Class::Early, at, [place.clone()], what)
    })
}

/// On the main topic it is the first attempt, on each tier one more.
fn attempt(
    books: &Books<'_>,
    duties: &Duties,
    place: &Place,
    step: &Stepped,
    at: usize,
) -> Option<Violation> {
    let expected = match duties.role(&place.partition.topic)? {
        Role::Main => 1,
        Role::Tier(..) => books.records.get(place)?.address?.attempt + 1,
        Role::DeadLetter | Role::Quarantine => return None,
    };
    let most = u32::try_from(duties.tiers()).unwrap_or(u32::MAX).saturating_add(1);
    (step.attempt != expected || expected > most).then(|| {
        let what =
            format!("{place} runs as attempt {}; it is attempt {expected} of {most}", step.attempt);
        Violation::new(Class::Attempts, at, [place.clone()], what)
    })
}

/// What lies before an event in its lane is concluded before it begins.
fn out_of_order(
    books: &Books<'_>,
    concluded: &Concluded<'_>,
    duties: &Duties,
    place: &Place,
    at: usize,
) -> Option<Violation> {
    let Place { partition, offset } = place;
    if duties.role(&partition.topic)? != Role::Main {
        return None;
    }
    let key = &books.records.get(place)?.record.key;
    let same_lane = |other: &Option<_>| duties.by_partition() || key.is_some() && key == other;
    let mut before = books.between(partition, 0, *offset);
    let (open, missing) = before.find_map(|(other, stored)| {
        let before = same_lane(&stored.record.key);
        before.then(|| concluded.missing(books, duties, other)).flatten().map(|m| (other, m))
    })?;
    let what = format!("{place} begins before {open} is concluded: {missing}");
    let about = [place.clone(), open.clone()];
    Some(Violation::new(Class::OutOfOrder, at, about, what))
}
