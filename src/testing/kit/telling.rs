//! The story as text: a line for each thing that happened, repeats of one failure counted.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use super::super::step::{Did, Stepped};
use super::seen::{Seen, Short};
use super::story::Entry;
use crate::transport::Aside;

/// Failures of one delivery in a row that are shown one by one.
const FAILURES: usize = 3;
/// The most lines; of a longer story the middle is left out.
const LINES: usize = 200;

/// A time since the kit was made.
pub(super) fn time(at: Duration) -> String {
    format!("+{}.{:03} s", at.as_secs(), at.subsec_millis())
}

/// The whole story, a line each, indented.
pub(super) fn tell(entries: &[Arc<Entry>]) -> String {
    if entries.is_empty() {
        return "  nothing: no event was published, and no handler was called (what is in an outbox is \
                published by a relay: `kit.start_relay(..)`)\n".to_owned();
    }
    let lines = lines(entries);
    let mut text = String::new();
    for (index, (at, line)) in lines.iter().enumerate() {
        if lines.len() > LINES && index == LINES / 2 {
            let _ = writeln!(text, "  … {} lines are left out", lines.len() - LINES);
        }
        if lines.len() <= LINES || index < LINES / 2 || index >= lines.len() - LINES / 2 {
            let _ = writeln!(text, "  {:>10}  {line}", time(*at));
        }
    }
    text
}

/// One delivery of a record to a handler.
type Delivery = (*const Seen, String);

fn delivery(entry: &Entry, taken: &Stepped) -> Delivery {
    (Arc::as_ptr(&entry.record), taken.who())
}

fn lines(entries: &[Arc<Entry>]) -> Vec<(Duration, String)> {
    let copies = copies(entries);
    let mut fails: BTreeMap<Delivery, usize> = BTreeMap::new();
    for (entry, taken) in steps(entries) {
        if let Did::Fail { .. } = taken.did {
            *fails.entry(delivery(entry, taken)).or_default() += 1;
        }
    }
    let open = open(entries);
    let mut begun: BTreeMap<Delivery, Duration> = BTreeMap::new();
    let mut failed: BTreeMap<Delivery, usize> = BTreeMap::new();
    let mut lines = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let Some(taken) = entry.step() else {
            if !copies.contains(&Arc::as_ptr(&entry.record)) {
                lines.push((entry.at, published(&entry.record)));
            }
            continue;
        };
        let this = delivery(entry, taken);
        if let Did::Begin = taken.did
            && !open.contains(&index)
        {
            begun.insert(this, entry.at);
            continue;
        }
        let mut text = step(entry, taken) + &took(begun.remove(&this), entry.at);
        if let Did::Fail { .. } = taken.did {
            let all = fails.get(&this).copied().unwrap_or_default();
            let nth = failed.entry(this).or_default();
            *nth += 1;
            match *nth {
                nth if all <= FAILURES || nth < FAILURES => {}
                nth if nth == all => {
                    let _ = write!(text, " (failure {all} of this delivery)");
                }
                _ => continue,
            }
        }
        lines.push((entry.at, text));
    }
    lines
}

/// Where calls begin that have not ended.
fn open(entries: &[Arc<Entry>]) -> HashSet<usize> {
    let mut ended: HashSet<Delivery> = HashSet::new();
    let mut open = HashSet::new();
    for (index, entry) in entries.iter().enumerate().rev() {
        let Some(taken) = entry.step() else { continue };
        let this = delivery(entry, taken);
        match taken.did {
            Did::Begin if !ended.remove(&this) => {
                open.insert(index);
            }
            Did::Begin => {}
            _ => {
                ended.insert(this);
            }
        }
    }
    open
}

fn steps(entries: &[Arc<Entry>]) -> impl Iterator<Item = (&Entry, &Stepped)> {
    entries.iter().filter_map(|entry| Some((&**entry, entry.step()?)))
}

/// Records that a step says were made by moving another; their own lines would say it twice.
fn copies(entries: &[Arc<Entry>]) -> HashSet<*const Seen> {
    entries.iter().filter_map(|entry| entry.copy().map(Arc::as_ptr)).collect()
}

fn took(begun: Option<Duration>, at: Duration) -> String {
    match begun.map(|begun| at.saturating_sub(begun)) {
        Some(took) if took >= Duration::from_millis(1) => format!(" (after {took:?})"),
        _ => String::new(),
    }
}

fn published(record: &Seen) -> String {
    let mut text = format!("published {} to {}", record.title(None), record.place());
    let _ = write!(text, ", {}", record.key());
    match (&record.said, record.metadata()) {
        (Err(malformed), _) => {
            let _ = write!(text, ": {malformed}");
        }
        (Ok(incoming), Some(metadata)) if !incoming.plain => {
            let _ = write!(text, ", by {}", metadata.source);
            if let Some(cause) = &metadata.causation_id {
                let _ = write!(text, " because of {}", Short(&cause.to_string()));
            }
        }
        _ => {}
    }
    text
}

fn step(entry: &Entry, taken: &Stepped) -> String {
    let (who, event) = (taken.who(), entry.record.title(taken.event.as_deref()));
    let attempt = taken.attempt;
    match &taken.did {
        Did::Begin => format!("{who} began {event}, attempt {attempt}, and has not ended"),
        Did::Finish => format!("{who} handled {event}, attempt {attempt}"),
        Did::Duplicate => format!("{who} had handled {event} before, and was not called"),
        Did::Drop { reason } => format!("{who} dropped {event}: {reason}"),
        Did::Fail { kind, error } => {
            format!("{who} failed on {event}, attempt {attempt}, {kind}: {error}")
        }
        Did::Skip => format!("{who} passed over {event}: no handler takes it here"),
        Did::Move { to, aside } => {
            let aside = match aside {
                Aside::Retry => "to be retried",
                Aside::DeadLetter => "a dead letter",
                Aside::Quarantine => "quarantine",
            };
            let text = format!("{who} moved {event} to {to}, {aside}");
            // Of a handler's own failure the line before has told.
            match (taken.handler.is_none(), entry.copy().and_then(|copy| reason(copy))) {
                (true, Some(reason)) => format!("{text}: {reason}"),
                _ => text,
            }
        }
    }
}

/// What a moved record says went wrong.
pub(super) fn reason(copy: &Seen) -> Option<&str> {
    copy.header(crate::event::header::ERROR_MESSAGE)
}
