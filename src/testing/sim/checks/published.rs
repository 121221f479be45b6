//! What was promised to whoever published: there as promised, in order, and nothing that was not.

use std::collections::{HashMap, HashSet};

use super::super::super::database::Ended;
use super::super::journal::{Did, Place, Promise, Stepped, What};
use super::books::{Books, Stored};
use super::{Class, Violation};
use crate::consumer::FailureKind;
use crate::event::header;
use crate::transport::TopicPartition;

/// Where an event lies, in the order in which it was stored.
type Copies = Vec<Copy>;

struct Copy {
    place: Place,
    /// A fault put it there.
    doubled: bool,
    /// The entry that says so.
    at: usize,
    /// The one who stored it is a consumer's process.
    answered: bool,
}

pub(super) fn check(books: &Books<'_>) -> Vec<Violation> {
    let stored = stored(books);
    let mut violations = Vec::new();
    // What handlers are about to answer, and how often each event of it.
    let mut following: HashMap<(&str, &Place, &str), &[Promise]> = HashMap::new();
    let mut answers: HashMap<&Promise, Vec<usize>> = HashMap::new();
    let mut in_outboxes = HashSet::new();
    for (at, entry) in books.entries.iter().enumerate() {
        let wrong = |(about, what): (Vec<Place>, String)| {
            Violation::new(Class::Unpublished, at, about, what)
        };
        match &entry.what {
            What::Promised { events, tries } => {
                violations.extend(promised(&stored, events, *tries).into_iter().map(wrong));
            }
            What::Forbidden(events) => {
                let there = events.iter().filter_map(|event| Some((event, stored.get(event)?)));
                violations.extend(there.map(|(event, copies)| {
                    wrong((places(copies), format!("{event} is stored, and what raised it failed")))
                }));
            }
            What::Transaction(Ended { events, .. }) => {
                in_outboxes.extend(events.iter().map(|event| {
                    let record = &event.record;
                    (&record.topic, &record.payload)
                }))
            }
            What::Follows { group, place, handler, events } => {
                following.insert((group, place, handler), events);
                events.iter().for_each(|event| answers.entry(event).or_default().push(at));
            }
            What::Step {
                place, step: Stepped { group, did, handler: Some(handler), .. }, ..
            } if matches!(did, Did::Begin | Did::Fail { .. }) => {
                // What was answered and could not be published is published again, maybe by a request that comes late.
                let outage = FailureKind::Outage.as_str();
                match (did, following.get(&(&**group, place, &**handler))) {
                    (Did::Fail { kind, .. }, Some(events)) if kind == outage => {
                        events.iter().for_each(|event| answers.entry(event).or_default().push(at));
                    }
                    _ => drop(following.remove(&(&**group, place, &**handler))),
                }
            }
            What::Step {
                place,
                step: Stepped { group, did: Did::Finish, handler: Some(handler), .. },
                ..
            } => {
                let follows = following.get(&(&**group, place, &**handler));
                let follows = follows.copied().unwrap_or_default();
                violations.extend(followed(&stored, follows, place, at).into_iter().map(wrong));
            }
            _ => {}
        }
    }
    // What a relay publishes was answered in a transaction.
    let mut direct = stored;
    direct.retain(|event, _| !in_outboxes.contains(&(&event.topic, &Some(event.payload.clone()))));
    violations.extend(unasked(&direct, &answers));
    violations
}

fn stored(books: &Books<'_>) -> HashMap<Promise, Copies> {
    let mut stored: HashMap<Promise, Copies> = HashMap::new();
    // What is neither a copy nor an event asked the broker for the time.
    let events =
        |stored: &Stored<'_>| !stored.copied && stored.record.headers.get(header::ID).is_some();
    for (place, record) in books.records.iter().filter(|(_, stored)| events(stored)) {
        let promise = Promise {
            topic: place.partition.topic.clone(),
            key: record.record.key.clone(),
            payload: record.record.payload.clone().unwrap_or_default(),
        };
        let (place, answered) = (place.clone(), record.by.is_some());
        let copy = Copy { place, doubled: record.doubled, at: record.at, answered };
        stored.entry(promise).or_default().push(copy);
    }
    stored.values_mut().for_each(|copies| copies.sort_by_key(|copy| copy.at));
    stored
}

fn places(copies: &Copies) -> Vec<Place> {
    copies.iter().map(|copy| copy.place.clone()).collect()
}

/// Events that somebody was told are published, after so many tries.
fn promised(
    stored: &HashMap<Promise, Copies>,
    events: &[Promise],
    tries: u32,
) -> Vec<(Vec<Place>, String)> {
    let mut wrong = Vec::new();
    let mut last: HashMap<&TopicPartition, &Place> = HashMap::new();
    for event in events {
        let Some(copies) = stored.get(event) else {
            wrong.push((Vec::new(), format!("{event} was promised and is not stored")));
            continue;
        };
        let own = copies.iter().filter(|copy| !copy.doubled).count();
        if u32::try_from(own).is_ok_and(|own| own > tries) {
            let what = format!("{event} is stored {own} times after {tries} tries");
            wrong.push((places(copies), what));
        }
        let Some(first) = copies.first().filter(|_| tries == 1) else { continue };
        if let Some(before) = last.insert(&first.place.partition, &first.place)
            && before.offset > first.place.offset
        {
            let what = format!("{event} lies before an event that was published first");
            wrong.push((vec![first.place.clone(), before.clone()], what));
        }
    }
    wrong
}

/// What a handler answered, that is done by now: all of it is there, and of each partition in order.
fn followed(
    stored: &HashMap<Promise, Copies>,
    events: &[Promise],
    place: &Place,
    at: usize,
) -> Vec<(Vec<Place>, String)> {
    let mut wrong = Vec::new();
    let mut last: HashMap<&TopicPartition, i64> = HashMap::new();
    for event in events {
        let mut copies =
            stored.get(event).into_iter().flatten().filter(|copy| copy.at < at).peekable();
        if copies.peek().is_none() {
            let what = format!("{event} follows from {place}, which is done, and is not stored");
            wrong.push((vec![place.clone()], what));
            continue;
        }
        // A run that was cut off may have stored some of them before, in the same order.
        let in_order = copies.find(|copy| {
            last.get(&copy.place.partition).is_none_or(|last| *last < copy.place.offset)
        });
        match in_order {
            Some(copy) => drop(last.insert(&copy.place.partition, copy.place.offset)),
            None => {
                let what = format!("{event} follows from {place} and lies before what it follows");
                wrong.push((vec![place.clone()], what));
            }
        }
    }
    wrong
}

/// What a consumer's process stored, each copy after a handler was about to answer it once more, or what it answered
/// could not be published: a handler that fails, drops its event or wants it again answers nothing.
fn unasked(
    stored: &HashMap<Promise, Copies>,
    answers: &HashMap<&Promise, Vec<usize>>,
) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (event, copies) in stored {
        let answers = answers.get(event).map_or(&[][..], Vec::as_slice);
        let own = copies.iter().filter(|copy| copy.answered && !copy.doubled);
        for (nth, copy) in own.enumerate() {
            if answers.get(nth).is_none_or(|answer| *answer > copy.at) {
                let asked = answers.iter().filter(|answer| **answer < copy.at).count();
                let what = format!(
                    "{event} is stored {} times, and it was answered and published again {asked} times",
                    nth + 1
                );
                let about = [copy.place.clone()];
                violations.push(Violation::new(Class::Unpublished, copy.at, about, what));
            }
        }
    }
    violations.sort_by(|a, b| (a.at, &a.what).cmp(&(b.at, &b.what)));
    violations
}

impl std::fmt::Display for Promise {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.topic, String::from_utf8_lossy(&self.payload))
    }
}
