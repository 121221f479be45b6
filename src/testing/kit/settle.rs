//! Waiting until everything is done, and saying what is not.

use std::fmt::{self, Write};
use std::panic::Location;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::super::step::{Did, Stepped};
use super::TestKit;
use super::seen::Seen;
use super::story::Entry;
use super::telling::time;
use crate::event::header;
use crate::transport::memory::{Lag, Reader};
use crate::transport::{Received, Transport};

/// The bound of a paused clock, counted anew from when the last retry that is left is due.
const VIRTUAL: Duration = Duration::from_secs(60 * 60);
/// The bound of a real clock.
const REAL: Duration = Duration::from_secs(30);
/// How long a paused clock may stand still, by the real one.
const STANDS: Duration = Duration::from_secs(10);
/// How soon an outbox is looked at again: of a row that is marked nobody is told.
const LOOK: Duration = Duration::from_millis(2);
/// The most partitions that are told of one by one.
const TOLD: usize = 20;
/// The most records of one partition whose handlers are asked what is wrong.
const ASKED: usize = 3;

/// What was not done in time, and the story up to then. `Display` tells all of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Unsettled {
    waited: Duration,
    left: Vec<String>,
    story: String,
}

impl Unsettled {
    /// A line for each partition, queue or broker that something waits at.
    pub fn left(&self) -> &[String] {
        &self.left
    }
}

/// When virtual time moved last, by the real clock.
struct Moved(Instant, std::time::Instant);

impl Moved {
    fn new(now: Instant) -> Self {
        Self(now, std::time::Instant::now())
    }

    /// Whether it has stood still for so much real time.
    fn not_for(&mut self, bound: Duration) -> bool {
        let now = Instant::now();
        if now != self.0 {
            *self = Self::new(now);
        }
        self.1.elapsed() > bound
    }
}

impl TestKit {
    /// Waits until all that follows from what was published is done: no record is queued, and every
    /// group has handled and committed all that it reads: retries, tiers and what handlers published
    /// included, and no row waits in an outbox whose relay the kit has
    /// [started](Self::start_relay). Events that no group reads are nothing to wait for.
    ///
    /// # Panics
    /// When that is not so within [`settle_within`](Self::settle_within); the message says what is
    /// left and why, and tells the story.
    #[track_caller]
    pub fn settled(&self) -> impl Future<Output = ()> + Send + '_ {
        let caller = Location::caller();
        async move {
            if let Err(unsettled) = self.try_settled().await {
                panic!("{caller}: {unsettled}");
            }
        }
    }

    /// As [`settled`](Self::settled), for a test of what does not settle.
    ///
    /// # Errors
    /// What is left.
    pub async fn try_settled(&self) -> Result<(), Unsettled> {
        let began = Instant::now();
        let paused = self.settle_within.is_none() && is_paused();
        let limit = self.settle_within.unwrap_or(if paused { VIRTUAL } else { REAL });
        let mut deadline = began + limit;
        let mut moved = Moved::new(began);
        loop {
            // Handlers that answer each other for ever let no virtual time pass, so no deadline comes.
            if paused && moved.not_for(STANDS) {
                break;
            }
            let mut changed = pin!(self.broker.changed());
            // From here on no change is missed, whichever thread makes it.
            if futures::poll!(changed.as_mut()).is_ready() {
                continue;
            }
            let mut look = deadline;
            if self.broker.backlog().is_empty() {
                if self.stored().await.is_empty() {
                    // Nothing came or went meanwhile, so nothing was on its way between the two.
                    if futures::poll!(changed.as_mut()).is_pending() {
                        return Ok(());
                    }
                    continue;
                }
                look = deadline.min(Instant::now() + LOOK);
            }
            let told = timeout_at(look, changed).await.is_ok() || look < deadline;
            if told && Instant::now() < deadline {
                continue;
            }
            match self.last_due().filter(|_| paused) {
                Some(ahead) => deadline = Instant::now() + ahead + limit,
                None => break,
            }
        }
        let (mut left, story) = (self.left(), self.story());
        left.extend(self.stored().await);
        if left.is_empty() {
            Ok(())
        } else {
            Err(Unsettled { waited: began.elapsed(), left, story })
        }
    }

    /// What is not done, a line each.
    pub(super) fn left(&self) -> Vec<String> {
        let backlog = self.broker.backlog();
        if backlog.is_empty() {
            return Vec::new();
        }
        let entries = self.story.entries();
        let mut left = Vec::new();
        if let Err(unreachable) = self.client.producer().reachable() {
            left.push(unreachable.to_string());
        }
        if backlog.queued > 0 {
            left.push(format!("{} queued by a client, not stored yet", records(backlog.queued)));
        }
        left.extend(backlog.lag.iter().take(TOLD).map(|lag| self.why(lag, &entries)));
        if backlog.lag.len() > TOLD {
            left.push(format!("and {} partitions more", backlog.lag.len() - TOLD));
        }
        left
    }

    fn why(&self, lag: &Lag, entries: &[Arc<Entry>]) -> String {
        let Lag { group, partition, records: count, reader, .. } = lag;
        let mut text = format!("{group} has {} left of {partition}", records(*count));
        let unread = unread(lag, entries);
        if let Some(first) = unread.first() {
            let _ = write!(text, ", first {} at offset {}", first.title(None), first.record.offset);
        }
        let tried: Vec<_> = unread
            .iter()
            .filter_map(|record| last_words(group, record, entries))
            .take(ASKED)
            .collect();
        let why = match reader {
            Reader::Gone => "no consumer of the group runs any more".to_owned(),
            Reader::Awaited => {
                "no consumer of the group has it: one is about to join, or was killed".to_owned()
            }
            _ if !tried.is_empty() => tried.join("; "),
            _ if let Some(ahead) = unread.first().and_then(|record| self.due(record)) => {
                format!("it is due at {}", time(self.story.age() + ahead))
            }
            Reader::Paused => {
                "it is paused, by `pause(topic)` or because enough is in memory".to_owned()
            }
            Reader::Reads => "it is handled and not committed, or about to be fetched".to_owned(),
        };
        let _ = write!(text, ": {why}");
        text
    }

    /// In how long the last of the retries is due that are left, if any is not due yet.
    fn last_due(&self) -> Option<Duration> {
        let entries = self.story.entries();
        let lag = self.broker.backlog().lag;
        let read = lag.iter().filter(|lag| matches!(lag.reader, Reader::Reads | Reader::Paused));
        let unread = read.flat_map(|lag| unread(lag, &entries));
        unread.filter_map(|record| self.due(record)).max()
    }

    /// In how long a record of a retry topic is due, if it is not yet.
    fn due(&self, record: &Seen) -> Option<Duration> {
        record.header(header::RETRY_GROUP)?;
        let due: i64 = record.header(header::RETRY_NOT_BEFORE)?.parse().ok()?;
        let ahead = u64::try_from(due.saturating_sub(self.broker.now())).ok()?;
        (ahead > 0).then(|| Duration::from_millis(ahead))
    }
}

/// The records of a partition that are left.
fn unread<'a>(lag: &Lag, entries: &'a [Arc<Entry>]) -> Vec<&'a Arc<Seen>> {
    let Lag { partition, from, .. } = lag;
    let stored = entries.iter().filter(|entry| entry.step().is_none()).map(|entry| &entry.record);
    let lies = |seen: &&Arc<Seen>| {
        let Received { topic, partition: number, offset, .. } = &*seen.record;
        *topic == partition.topic && *number == partition.partition && offset >= from
    };
    stored.filter(lies).collect()
}

/// What each handler of a group has to say about a record that is not done.
fn last_words(group: &str, record: &Arc<Seen>, entries: &[Arc<Entry>]) -> Option<String> {
    let of_record = |entry: &&Arc<Entry>| Arc::ptr_eq(&entry.record, record);
    let steps: Vec<_> = entries
        .iter()
        .filter(of_record)
        .filter_map(|entry| Some((entry, entry.step()?)))
        .filter(|(_, taken)| taken.group == group && taken.handler.is_some())
        .collect();
    let mut handlers: Vec<_> = steps.iter().map(|(_, taken)| taken.handler.as_deref()).collect();
    handlers.sort_unstable();
    handlers.dedup();
    let words = handlers.into_iter().filter_map(|handler| {
        let of_handler =
            |(_, taken): &&(&Arc<Entry>, &Stepped)| taken.handler.as_deref() == handler;
        let (entry, last) = steps.iter().rev().find(of_handler)?;
        let calls = steps.iter().filter(of_handler);
        let calls = calls.filter(|(_, taken)| matches!(taken.did, Did::Begin)).count();
        let handler = handler.unwrap_or_default();
        match &last.did {
            Did::Begin => Some(format!("{handler} has been running since {}", time(entry.at))),
            Did::Fail { kind, error } => {
                Some(format!("{handler} has failed {calls} times, last {kind}: {error}"))
            }
            _ => None,
        }
    });
    let words: Vec<_> = words.collect();
    (!words.is_empty()).then(|| words.join(", "))
}

fn records(count: usize) -> String {
    if count == 1 { "1 record".to_owned() } else { format!("{count} records") }
}

/// Whether tokio's clock stands still here.
fn is_paused() -> bool {
    let (real, before) = (std::time::Instant::now(), Instant::now());
    while real.elapsed() < Duration::from_micros(5) {
        std::hint::spin_loop();
    }
    Instant::now() == before
}

impl fmt::Display for Unsettled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waited = self.waited.as_secs_f64();
        writeln!(f, "not settled within {waited:.1} s. What is left:")?;
        self.left.iter().try_for_each(|left| writeln!(f, "  {left}"))?;
        write!(f, "What happened:\n{}", self.story)
    }
}

impl fmt::Debug for Unsettled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Unsettled {}
