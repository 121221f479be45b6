//! The story of a violation: what happened to the records that it is about, in order.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::super::database::Ended;
use super::checks::Violation;
use super::journal::{Did, Entry, Place, Stepped, What};
use crate::event::header;
use crate::transport::memory::Operation;
use crate::transport::{Received, TopicPartition};

/// The most lines of a story: so many from its beginning, and the others end so many after the violation.
const LINES: usize = 150;
const FIRST: usize = 50;
const AFTER: usize = 20;

pub(super) fn tell(entries: &[Entry], violation: &Violation) -> String {
    let mut story = format!("{violation}\n");
    let about = Around::of(entries, violation);
    let lines: Vec<_> = entries
        .iter()
        .enumerate()
        .filter_map(|(at, entry)| {
            let mark = if at == violation.at { "=>" } else { "  " };
            let line = about.line(&entry.what)?;
            Some((at, format!("{mark} {:>12.6} s  {line}", entry.at.as_secs_f64())))
        })
        .collect();
    let until = lines.partition_point(|(at, _)| *at <= violation.at) + AFTER;
    let until = until.max(LINES).min(lines.len());
    let (head, from) = match until.checked_sub(LINES) {
        Some(left_out) => (FIRST, FIRST + left_out),
        None => (until, until),
    };
    let parts = [(0..head, from - head), (from..until, lines.len() - until)];
    for (part, left_out) in parts {
        for (_, line) in &lines[part] {
            let _ = writeln!(story, "{line}");
        }
        if left_out > 0 {
            let _ = writeln!(story, "   ... {left_out} lines are left out");
        }
    }
    story
}

/// Records of the events that it is about, and their partitions.
struct Around {
    places: BTreeSet<Place>,
    partitions: BTreeSet<TopicPartition>,
    everything: bool,
}

impl Around {
    fn of(entries: &[Entry], violation: &Violation) -> Self {
        let appended = || {
            entries.iter().filter_map(|entry| match &entry.what {
                What::Broker(Operation::Appended { record, .. }) => Some(record),
                _ => None,
            })
        };
        let id = |record: &Received| record.headers.get_str(header::ID).map(str::to_owned);
        let ids: BTreeSet<_> = appended()
            .filter(|record| violation.about.contains(&Place::of(record)))
            .filter_map(|record| id(record))
            .collect();
        let of_them =
            |record: &&std::sync::Arc<Received>| id(record).is_some_and(|id| ids.contains(&id));
        let places: BTreeSet<_> = appended()
            .filter(of_them)
            .map(|record| Place::of(record))
            .chain(violation.about.iter().cloned())
            .collect();
        let partitions = places.iter().map(|place| place.partition.clone()).collect();
        Self { places, partitions, everything: violation.about.is_empty() }
    }

    fn line(&self, what: &What) -> Option<String> {
        let concerns = |tp: &&TopicPartition| self.everything || self.partitions.contains(*tp);
        let listed = |partitions: &[TopicPartition]| {
            let names: Vec<_> =
                partitions.iter().filter(concerns).map(ToString::to_string).collect();
            (!names.is_empty()).then(|| names.join(" "))
        };
        Some(match what {
            What::Started { process, client, skew, .. } => {
                format!("client {client}: {process} starts, its clock {skew} ms ahead")
            }
            What::GaveUp { client, error } => format!("client {client}: gives up: {error}"),
            What::Crashed { client } => format!("client {client}: crashes"),
            What::Stopping { client } => format!("client {client}: is stopping"),
            What::Stopped { client, clean } => {
                format!("client {client}: has stopped, clean: {clean}")
            }
            What::Panicked { message } => format!("a task panicked: {message}"),
            What::Transaction(Ended { committed, events, claims, effects, .. })
                if self.everything || !effects.is_empty() || !events.is_empty() =>
            {
                let rows: Vec<_> = events.iter().map(|event| event.row.to_string()).collect();
                let how = if *committed { "commits" } else { "takes back" };
                format!(
                    "a transaction {how} rows [{}], {} claims, effects {effects:?}",
                    rows.join(" "),
                    claims.len()
                )
            }
            What::Calm => "faults have ended".into(),
            What::Follows { place, handler, events, .. } if self.places.contains(place) => {
                format!("{handler} answers {} events to {place}", events.len())
            }
            What::Step { client, place, step } if self.places.contains(place) => {
                stepped(*client, place, step)
            }
            What::Broker(operation) => match operation {
                Operation::Appended { client, record, doubled, .. } => {
                    let place = Place::of(record);
                    self.places.contains(&place).then(|| appended(*client, record, *doubled))?
                }
                Operation::Assigned { group, member, partitions } => {
                    format!("{group}: member {member} is given {}", listed(partitions)?)
                }
                Operation::Released { group, member, partitions } => {
                    format!("{group}: member {member} gives back {}", listed(partitions)?)
                }
                Operation::Joined { group, member, client } => {
                    format!("{group}: client {client} joins as member {member}")
                }
                Operation::Left { group, member, thrown_out } => {
                    let how = if *thrown_out { "is thrown out" } else { "leaves" };
                    format!("{group}: member {member} {how}")
                }
                Operation::Committed { group, member, offsets, refused } => {
                    let offsets: Vec<_> = offsets
                        .iter()
                        .filter(|(tp, _)| concerns(&tp))
                        .map(|(tp, offset)| format!("{tp} to {offset}"))
                        .collect();
                    if offsets.is_empty() {
                        return None;
                    }
                    let refused = refused.as_ref().map(|why| format!(", refused: {why}"));
                    let refused = refused.unwrap_or_default();
                    format!("{group}: member {member} commits {}{refused}", offsets.join(", "))
                }
                Operation::Ended { partition, committed }
                    if self.partitions.contains(partition) =>
                {
                    format!("{partition}: a transaction ends, {} records commit", committed.len())
                }
                Operation::Ended { .. } => return None,
                Operation::Failed(fault) => format!("fault: {fault:?}"),
            },
            _ => return None,
        })
    }
}

fn stepped(client: u64, place: &Place, step: &Stepped) -> String {
    let Stepped { group, handler, attempt, did, .. } = step;
    let who = handler.as_deref().unwrap_or("the consumer");
    let did = match did {
        Did::Begin => format!("begins, attempt {attempt}"),
        Did::Finish => "is done".into(),
        Did::Duplicate => "had handled it before".into(),
        Did::Drop { reason } => format!("drops it: {reason}"),
        Did::Fail { kind, error } => format!("fails ({kind}): {error}"),
        Did::Move { to, .. } => format!("has moved it to {to}"),
        Did::Skip => "passes it over".into(),
    };
    format!("{group}, client {client}: {place}: {who} {did}")
}

fn appended(client: u64, record: &Received, doubled: bool) -> String {
    let mut line = format!("client {client}: {} is stored", Place::of(record));
    if doubled {
        line.push_str(" a second time");
    }
    let said = |name| record.headers.get_str(name);
    if let (Some(topic), Some(partition), Some(offset)) =
        (said(header::ORIGIN_TOPIC), said(header::ORIGIN_PARTITION), said(header::ORIGIN_OFFSET))
    {
        let _ = write!(line, ", a copy of {topic}/{partition}@{offset}");
    }
    if let (Some(group), Some(handler), Some(attempt)) =
        (said(header::RETRY_GROUP), said(header::RETRY_HANDLER), said(header::RETRY_ATTEMPT))
    {
        let _ = write!(line, " for {group}'s {handler} after {attempt} failures");
    }
    if let Some(payload) = &record.payload {
        let _ = write!(line, ": {}", String::from_utf8_lossy(payload));
    }
    line
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::checks::Class;
    use super::*;

    /// The story of so many entries, of which one is a violation.
    fn told(entries: usize, at: usize) -> Vec<String> {
        let entry = |n: usize| Entry {
            at: Duration::from_secs(n as u64),
            what: What::Panicked { message: format!("no {n}.") },
        };
        let entries: Vec<_> = (0..entries).map(entry).collect();
        let (class, what, about) = (Class::Panicked, "a bug".to_owned(), BTreeSet::new());
        let story = tell(&entries, &Violation { class, what, at, about });
        story.lines().skip(1).map(str::to_owned).collect()
    }

    fn holds(story: &[String], text: &str) -> bool {
        story.iter().any(|line| line.contains(text))
    }

    #[test]
    fn a_long_story_leaves_out_its_middle_and_tells_its_beginning_and_the_violation() {
        let story = told(1_000, 700);
        assert!(story[0].ends_with("no 0.") && story[49].ends_with("no 49."), "{story:#?}");
        assert_eq!(story[50], "   ... 571 lines are left out");
        assert!(story[51].ends_with("no 621.") && holds(&story, "=>   700.0"), "{story:#?}");
        assert!(story[150].ends_with("no 720."), "{story:#?}");
        assert_eq!(story[151..], ["   ... 279 lines are left out"]);
    }

    #[test]
    fn a_story_of_what_goes_wrong_at_once_or_at_the_very_end_is_as_long() {
        let (early, late) = (told(1_000, 3), told(1_000, 1_000));
        assert!(holds(&early, "=>     3.0") && early[149].ends_with("no 149."), "{early:#?}");
        assert_eq!(early[150..], ["   ... 850 lines are left out"]);
        assert_eq!(late[50], "   ... 850 lines are left out");
        assert!(late.len() == 151 && late[150].ends_with("no 999."), "{late:#?}");
        let whole = told(150, 149);
        assert!(whole.len() == 150 && !holds(&whole, "left out"), "{whole:#?}");
    }
}
