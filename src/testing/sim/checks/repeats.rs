//! Runs that repeat what was done before, and what may explain them.
//!
//! Two runs of one handler for one record belong to one assignment of its partition where the first
//! one failed and was not moved on; all others have to be explained by an assignment that ended
//! between them, and where the first one was concluded, by one that ended without its commit.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use super::super::journal::{Client, Did, Place, Stepped, What};
use super::books::{Address, Books};
use super::concluded::Concluded;
use super::{Class, Violation};
use crate::transport::TopicPartition;
use crate::transport::memory::{Fault, Operation};

/// How long a member may take to hear from its client that its partitions are lost.
const HEARS: Duration = Duration::from_secs(1);

/// An assignment's end, or what kept it from committing.
#[derive(Debug)]
struct Break {
    from: usize,
    /// Until when its work may still go on, or the commit is missing.
    until: usize,
    /// What was done from this offset on was not committed; `None`: nothing of it was lost.
    uncommitted_from: Option<i64>,
}

type Breaks<'a> = HashMap<(&'a str, &'a TopicPartition), Vec<Break>>;

pub(super) fn check(books: &Books<'_>) -> Vec<Violation> {
    let breaks = breaks(books);
    let mut violations = runs(books, &breaks);
    violations.extend(copies(books, &breaks));
    violations
}

fn breaks<'a>(books: &'a Books<'a>) -> Breaks<'a> {
    let mut breaks: Breaks<'a> = HashMap::new();
    // Each partition's member, and since when it has it.
    let mut owners: HashMap<(&'a str, &'a TopicPartition), (u64, usize)> = HashMap::new();
    let mut committed: HashMap<(&'a str, &'a TopicPartition), i64> = HashMap::new();
    for (at, entry) in books.entries.iter().enumerate() {
        match &entry.what {
            What::Broker(Operation::Assigned { group, member, partitions }) => {
                owners.extend(partitions.iter().map(|tp| ((&**group, tp), (*member, at))));
            }
            What::Broker(Operation::Released { group, member: _, partitions }) => {
                for tp in partitions {
                    let (_, since) = owners.remove(&(&**group, tp)).unwrap_or_default();
                    let from = committed.get(&(&**group, tp)).copied().unwrap_or_default();
                    let uncommitted_from = lowest_open(books, group, tp, from, since..at);
                    let end = Break { from: at, until: at, uncommitted_from };
                    breaks.entry((group, tp)).or_default().push(end);
                }
            }
            What::Broker(Operation::Left { group, member, thrown_out }) => {
                // One that is thrown out goes on until it hears of it.
                let client = books.client(*member);
                let until = if *thrown_out { hears(books, client, at) } else { at };
                let gone = owners.iter().filter(|(_, (owner, _))| owner == member);
                let gone: Vec<_> = gone.map(|(owned, _)| *owned).collect();
                for owned in gone.into_iter().filter(|(g, _)| *g == group) {
                    owners.remove(&owned);
                    let uncommitted_from = Some(committed.get(&owned).copied().unwrap_or_default());
                    let end = Break { from: at, until, uncommitted_from };
                    breaks.entry(owned).or_default().push(end);
                }
            }
            What::Broker(Operation::Committed { group, offsets, refused, .. }) => {
                for (tp, offset) in offsets {
                    match refused {
                        None => {
                            committed.insert((group, tp), *offset);
                        }
                        Some(_) => {
                            let until = commits(books, group, tp, at);
                            let from = committed.get(&(&**group, tp)).copied().unwrap_or_default();
                            let end = Break { from: at, until, uncommitted_from: Some(from) };
                            breaks.entry((group, tp)).or_default().push(end);
                        }
                    }
                }
            }
            What::Crashed { client } => {
                for (owned, _) in
                    owners.iter().filter(|(_, (m, _))| books.client(*m) == Some(*client))
                {
                    let uncommitted_from = Some(committed.get(owned).copied().unwrap_or_default());
                    let end = Break { from: at, until: at, uncommitted_from };
                    breaks.entry(*owned).or_default().push(end);
                }
            }
            _ => {}
        }
    }
    breaks
}

/// The first record that was not concluded when a partition was given back, by the member that had it
/// meanwhile: what another one did before is nothing that it knows of.
fn lowest_open(
    books: &Books<'_>,
    group: &str,
    partition: &TopicPartition,
    from: i64,
    meanwhile: Range<usize>,
) -> Option<i64> {
    let duties = books.contract.group(group)?;
    let end = meanwhile.end;
    let mut concluded = Concluded::default();
    meanwhile.for_each(|at| concluded.take(books, at));
    let mut there = books.between(partition, from, i64::MAX).filter(|(_, stored)| stored.at < end);
    there.find_map(|(place, _)| concluded.missing(books, duties, place).map(|_| place.offset))
}

/// When a client that was thrown out knows it, and its consumer does too: it joins again, or ends.
fn hears(books: &Books<'_>, client: Option<Client>, at: usize) -> usize {
    let later = books.entries[at..].iter().position(|entry| match &entry.what {
        What::Broker(Operation::Joined { client: c, .. })
        | What::Crashed { client: c }
        | What::Stopped { client: c, .. } => Some(*c) == client,
        _ => false,
    });
    let Some(later) = later else { return books.entries.len() };
    let until = books.entries[at + later].at + HEARS;
    books.entries.partition_point(|entry| entry.at <= until)
}

/// When the next commit of a partition is taken.
fn commits(books: &Books<'_>, group: &str, partition: &TopicPartition, at: usize) -> usize {
    let later = books.entries[at..].iter().position(|entry| match &entry.what {
        What::Broker(Operation::Committed { group: g, offsets, refused: None, .. }) => {
            g == group && offsets.iter().any(|(tp, _)| tp == partition)
        }
        _ => false,
    });
    later.map_or(books.entries.len(), |later| at + later)
}

/// The last run of a handler for a record.
struct Run {
    at: usize,
    client: Client,
    attempt: u32,
    /// It failed, and may be tried again in place.
    failed: bool,
    /// So that no retry helps.
    undecodable: bool,
    /// A copy of the record lies elsewhere.
    copied: bool,
    /// It succeeded, or the copy is acknowledged.
    concluded: bool,
}

fn runs(books: &Books<'_>, breaks: &Breaks<'_>) -> Vec<Violation> {
    let mut last: HashMap<(&str, &Place, &str), Run> = HashMap::new();
    let mut acknowledged: HashMap<(&str, &Place), usize> = HashMap::new();
    let mut violations = Vec::new();
    for (at, entry) in books.entries.iter().enumerate() {
        match &entry.what {
            What::Step {
                client,
                place,
                step: step @ Stepped { group, handler: Some(handler), .. },
            } => {
                let run = last.get_mut(&(group, place, handler));
                match &step.did {
                    Did::Begin => {
                        let new = Run {
                            at,
                            client: *client,
                            attempt: step.attempt,
                            failed: false,
                            undecodable: false,
                            copied: false,
                            concluded: false,
                        };
                        let before = last.insert((group, place, handler), new);
                        let Some(before) = before else { continue };
                        let in_place = before.failed && !before.concluded;
                        if in_place && before.client == *client {
                            continue;
                        }
                        let none = Vec::new();
                        let breaks = breaks.get(&(&**group, &place.partition)).unwrap_or(&none);
                        if !explained(breaks, &before, at, place.offset) {
                            let what = format!("{group}'s {handler} runs again for {place}");
                            let class = Class::EffectDoubled;
                            violations.push(Violation::new(class, at, [place.clone()], what));
                        }
                    }
                    Did::Finish | Did::Duplicate | Did::Drop { .. } => {
                        if let Some(run) = run {
                            run.concluded = true;
                        }
                    }
                    Did::Fail { kind, .. } => {
                        if let Some(run) = run {
                            run.failed = true;
                            run.undecodable = kind == "undecodable";
                        }
                    }
                    _ => {}
                }
            }
            What::Broker(Operation::Appended { record, .. }) => {
                let stored = &books.records[&Place::of(record)];
                let made = |(group, place, handler): &(&str, &Place, &str), run: &Run| {
                    let of = books.records[*place].origin == stored.origin && stored.copied;
                    of && match stored.address {
                        Some(to) => {
                            (to.group, to.handler, to.attempt) == (*group, *handler, run.attempt)
                        }
                        None => stored.by == Some(*group) && run.undecodable,
                    }
                };
                let moved = last.iter_mut().filter(|(key, run)| made(key, run));
                moved.for_each(|(_, run)| run.copied = true);
            }
            What::Step {
                place,
                step: Stepped { group, handler: None, did: Did::Move { .. }, .. },
                ..
            } => {
                // Which one it is is not said: with several under way, the last one ends them all.
                let acknowledged = acknowledged.entry((group, place)).or_default();
                *acknowledged += 1;
                let of_it = last.iter_mut().filter(|((g, p, _), run)| {
                    g == group && *p == place && run.copied && !run.concluded
                });
                let of_it: Vec<_> = of_it.map(|(_, run)| run).collect();
                if of_it.len() <= *acknowledged {
                    *acknowledged -= of_it.len();
                    of_it.into_iter().for_each(|run| run.concluded = true);
                }
            }
            _ => {}
        }
    }
    violations
}

fn explained(breaks: &[Break], before: &Run, at: usize, offset: i64) -> bool {
    breaks
        .iter()
        .filter(|end| end.from < at && end.until >= before.at)
        .any(|end| !before.concluded || end.uncommitted_from.is_some_and(|from| from <= offset))
}

/// No more copies of a failed record than runs of it that failed, and requests that a fault doubled.
fn copies(books: &Books<'_>, breaks: &Breaks<'_>) -> Vec<Violation> {
    let mut copies: HashMap<(&Place, Address<'_>), Vec<(&Place, usize)>> = HashMap::new();
    for (place, stored) in books.records.iter().filter(|(_, stored)| !stored.doubled) {
        if let Some(address) = stored.address {
            copies.entry((&stored.origin, address)).or_default().push((place, stored.at));
        }
    }
    let unanswered = books.entries.iter().filter(|entry| {
        matches!(
            entry.what,
            What::Broker(Operation::Failed(
                Fault::ProduceTimesOut { .. } | Fault::AcknowledgementLost | Fault::Duplicated
            ))
        )
    });
    let unanswered = unanswered.count();
    let mut violations = Vec::new();
    for ((origin, address), copies) in copies {
        let broken = breaks
            .iter()
            .filter(|((group, tp), _)| *group == address.group && is_of(books, tp, origin))
            .map(|(_, breaks)| breaks.len())
            .sum::<usize>();
        if copies.len() > 1 + unanswered + broken {
            let at = copies.iter().map(|(_, at)| *at).max().unwrap_or_default();
            let what = format!(
                "{origin} has {} copies for {}'s {} after {} failures",
                copies.len(),
                address.group,
                address.handler,
                address.attempt
            );
            let about = copies.iter().map(|(place, _)| (*place).clone());
            violations.push(Violation::new(Class::EffectDoubled, at, about, what));
        }
    }
    violations.sort_by(|a, b| (a.at, &a.what).cmp(&(b.at, &b.what)));
    violations
}

/// Whether a partition is that of a record, or of a tier around it.
fn is_of(books: &Books<'_>, partition: &TopicPartition, origin: &Place) -> bool {
    let main = &origin.partition;
    let same =
        || books.contract.groups().any(|duties| duties.surrounds(&main.topic, &partition.topic));
    partition == main || partition.partition == main.partition && same()
}
