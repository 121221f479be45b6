//! What was promised to whoever published: there as promised, in order, and nothing that was not.

use std::collections::HashMap;

use super::super::journal::{Did, Place, Promise, Stepped, What};
use super::books::Books;
use super::{Class, Violation};

/// Where an event lies that was promised, by place, and whether a fault put it there.
type Copies = Vec<(Place, bool, usize)>;

pub(super) fn check(books: &Books<'_>) -> Vec<Violation> {
    let mut stored: HashMap<Promise, Copies> = HashMap::new();
    for (place, record) in books.records.iter().filter(|(_, stored)| !stored.copied) {
        let promise = Promise {
            topic: place.partition.topic.clone(),
            key: record.record.key.clone(),
            payload: record.record.payload.clone().unwrap_or_default(),
        };
        stored.entry(promise).or_default().push((place.clone(), record.doubled, record.at));
    }
    let mut violations = Vec::new();
    // What a handler is about to answer, until its consumer says how that went.
    let mut following: HashMap<(&Place, &str), &[Promise]> = HashMap::new();
    for (at, entry) in books.entries.iter().enumerate() {
        let mut wrong = |about: Vec<Place>, what: String| {
            violations.push(Violation::new(Class::Unpublished, at, about, what));
        };
        match &entry.what {
            What::Promised { events, tries } => {
                let mut last: HashMap<_, (i64, &Place)> = HashMap::new();
                for event in events {
                    let Some(copies) = stored.get(event) else {
                        wrong(Vec::new(), format!("{event} was promised and is not stored"));
                        continue;
                    };
                    let own = copies.iter().filter(|(_, doubled, _)| !doubled).count();
                    let places = || copies.iter().map(|(place, ..)| place.clone()).collect();
                    if u32::try_from(own).is_ok_and(|own| own > *tries) {
                        wrong(
                            places(),
                            format!("{event} is stored {own} times after {tries} tries"),
                        );
                    }
                    let Some((first, ..)) = copies.first().filter(|_| *tries == 1) else {
                        continue;
                    };
                    let (partition, offset) = (first.partition.clone(), first.offset);
                    if let Some((before, other)) = last.insert(partition, (offset, first))
                        && before > offset
                    {
                        let about = vec![first.clone(), other.clone()];
                        wrong(
                            about,
                            format!("{event} lies before an event that was published first"),
                        );
                    }
                }
            }
            What::Forbidden(events) => {
                for event in events {
                    if let Some(copies) = stored.get(event) {
                        let about = copies.iter().map(|(place, ..)| place.clone()).collect();
                        wrong(about, format!("{event} is stored, and what raised it failed"));
                    }
                }
            }
            What::Follows { place, handler, events } => {
                following.insert((place, handler), events);
            }
            What::Step {
                place,
                step: Stepped { did: Did::Finish, handler: Some(handler), .. },
                ..
            } => {
                let follows = following.remove(&(place, &**handler)).unwrap_or_default();
                for event in follows {
                    let copies = stored.get(event);
                    if !copies.is_some_and(|copies| copies.iter().any(|(.., then)| *then < at)) {
                        let what = format!(
                            "{event} follows from {place}, which is done, and is not stored"
                        );
                        wrong(vec![place.clone()], what);
                    }
                }
            }
            _ => {}
        }
    }
    violations
}

impl std::fmt::Display for Promise {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.topic, String::from_utf8_lossy(&self.payload))
    }
}
