//! What happened, in order: each record that readers could see, and each step that a consumer took.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::super::step::Stepped;
use super::seen::Seen;
use crate::clock::Millis;
use crate::event::{TopicName, header};
use crate::transport::memory::{Operation, Watcher};
use crate::transport::{Received, Step, StepKind, Timestamp};

/// What the kit watches its broker with. It is told of records with the broker held, so it never asks
/// the broker.
pub(super) struct Story {
    began: Instant,
    /// The broker's time then.
    epoch: Millis,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    entries: Vec<Arc<Entry>>,
    seen: HashMap<Place, Arc<Seen>>,
    /// Records on topics aside that a step has been found to have put there.
    claimed: HashSet<Place>,
}

/// Topic, partition, offset.
type Place = (TopicName, i32, i64);

fn place(record: &Received) -> Place {
    (record.topic.clone(), record.partition, record.offset)
}

/// One thing that happened.
#[derive(Debug)]
pub(super) struct Entry {
    /// Since the kit was made.
    pub(super) at: Duration,
    pub(super) record: Arc<Seen>,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    /// Readers could see the record.
    Stored,
    /// A consumer did something with it.
    Step(Stepped),
    /// A consumer moved it; where that can be said, the record that it was moved to.
    Moved(Stepped, Option<Arc<Seen>>),
}

impl Story {
    /// A story that begins now, which is `epoch` by the broker's clock.
    pub(super) fn new(epoch: Millis) -> Self {
        Self { began: Instant::now(), epoch, told: Mutex::default() }
    }

    /// When the broker stored a record, where it says so.
    pub(super) fn appended(&self, record: &Seen) -> Option<Duration> {
        match record.record.timestamp {
            Some(Timestamp::Appended(at)) => {
                u64::try_from(at - self.epoch).ok().map(Duration::from_millis)
            }
            _ => None,
        }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long ago the kit was made.
    pub(super) fn age(&self) -> Duration {
        self.began.elapsed()
    }

    pub(super) fn entries(&self) -> Vec<Arc<Entry>> {
        self.told().entries.clone()
    }

    /// Readers can see a record.
    fn stored(&self, record: &Arc<Received>) {
        let mut told = self.told();
        let record = told.seen(record);
        let at = self.began.elapsed();
        told.entries.push(Arc::new(Entry { at, record, what: What::Stored }));
    }
}

impl Told {
    fn seen(&mut self, record: &Arc<Received>) -> Arc<Seen> {
        self.seen
            .entry(place(record))
            .or_insert_with(|| Arc::new(Seen::new(record.clone())))
            .clone()
    }

    /// The record on a topic aside that this one was moved to and that no other step has claimed.
    fn claim(&mut self, of: &Seen, to: &TopicName, handler: Option<&str>) -> Option<Arc<Seen>> {
        let stored = self.entries.iter().rev().filter(|entry| matches!(entry.what, What::Stored));
        let mut copies = stored.map(|entry| &entry.record).filter(|copy| {
            copy.record.topic == *to
                && copy.header(header::RETRY_HANDLER) == handler
                && of.is_copied_by(copy)
        });
        let copy = copies.find(|copy| !self.claimed.contains(&place(&copy.record))).cloned()?;
        self.claimed.insert(place(&copy.record));
        Some(copy)
    }
}

impl Watcher for Story {
    fn did(&self, operation: &Operation) {
        match operation {
            Operation::Appended { record, open: false, .. } => self.stored(record),
            Operation::Ended { committed, .. } => {
                committed.iter().for_each(|record| self.stored(record))
            }
            _ => {}
        }
    }

    fn stepped(&self, _client: u64, step: &Step<'_>) {
        let at = self.began.elapsed();
        let mut told = self.told();
        let record = match told.seen.get(&place(step.record)) {
            Some(seen) => seen.clone(),
            None => told.seen(&Arc::new(step.record.clone())),
        };
        if let Some(metadata) = step.metadata {
            // The same each time it is read.
            let _ = record.taken_for.set(metadata.clone());
        }
        let what = match step.what {
            StepKind::Moved { to, .. } => {
                let copy = told.claim(&record, to, step.handler);
                What::Moved(Stepped::of(step), copy)
            }
            _ => What::Step(Stepped::of(step)),
        };
        told.entries.push(Arc::new(Entry { at, record, what }));
    }
}

impl Entry {
    pub(super) fn step(&self) -> Option<&Stepped> {
        match &self.what {
            What::Step(step) | What::Moved(step, _) => Some(step),
            What::Stored => None,
        }
    }

    /// The record that it was moved to.
    pub(super) fn copy(&self) -> Option<&Arc<Seen>> {
        match &self.what {
            What::Moved(_, copy) => copy.as_ref(),
            What::Step(_) | What::Stored => None,
        }
    }
}
