//! One assigned partition: what was read, what is due, what may be committed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::assignment::Assignment;
use super::batch::BatchRecord;
use super::ledger::Ledger;
use super::pause::{Change, Pauses, Reason};
use crate::clock::{BrokerClock, Millis, millis};
use crate::event::header;
use crate::transport::{Received, Timestamp};

/// Events of a tier that may wait in memory before the partition is paused.
const WAITING: usize = 256;
/// So long before the first of them is due, as many are fetched as of a main topic: a partition that
/// goes on after a pause takes up to half a second, and a burst that comes due at once must not wait
/// for that.
const FETCH_AHEAD: Duration = Duration::from_secs(1);

pub(super) struct Partition {
    pub(super) assignment: Arc<Assignment>,
    pub(super) ledger: Ledger,
    pauses: Pauses,
    /// Events of a tier that are not due yet, in the order of their due times.
    waiting: VecDeque<Waiting>,
    clock: BrokerClock,
    /// The group's committed offset, as far as it is known.
    pub(super) committed: Option<i64>,
    /// The offset of the last commit that was sent.
    pub(super) sent: Option<i64>,
    pub(super) refreshed: Instant,
    /// Whether the commit that keeps the group's place was refused.
    pub(super) keep: bool,
    /// Places of events that will not be done in this assignment.
    given_up: Vec<u64>,
}

/// An event that is not due yet, and its place in the ledger.
struct Waiting {
    record: BatchRecord,
    place: u64,
    due: Due,
}

/// When an event may run, in the broker's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    /// The broker says when it was appended: it runs once its time is proved to have come.
    Proved(Millis),
    /// The broker keeps no append time: it runs when we think that its time has come.
    Guessed(Millis),
}

impl Partition {
    pub(super) fn new(
        assignment: Arc<Assignment>,
        committed: Option<i64>,
        clock: BrokerClock,
    ) -> Self {
        Self {
            assignment,
            ledger: Ledger::default(),
            pauses: Pauses::default(),
            waiting: VecDeque::new(),
            clock,
            committed,
            sent: None,
            refreshed: Instant::now(),
            keep: false,
            given_up: Vec::new(),
        }
    }

    /// Notes an offset that was read; answers its place.
    ///
    /// One that was read before is a new record all the same: within one assignment offsets go back
    /// only where the topic was made anew or its log was cut, and a record must not be lost by that.
    pub(super) fn read(&mut self, offset: i64) -> u64 {
        if self.ledger.has_passed(offset) {
            tracing::warn!(
                partition = %self.assignment.partition,
                offset,
                "its offsets have started anew; was the topic made anew?"
            );
            self.ledger.restart();
            self.committed = None;
            self.sent = None;
        }
        let first = self.ledger.open() == 0;
        let place = self.ledger.read(offset);
        if first {
            self.assignment.stands(&self.ledger);
        }
        place
    }

    /// Notes that the event at a place is done.
    pub(super) fn done(&mut self, place: u64) {
        self.ledger.done(place);
        self.assignment.stands(&self.ledger);
    }

    /// Notes that the event at a place will not be done in this assignment.
    pub(super) fn give_up(&mut self, place: u64) {
        self.given_up.push(place);
    }

    /// Of a revoked one: whether all is done that can be, up to the highest event that has begun.
    pub(super) fn is_finished(&self) -> bool {
        let begun = self.assignment.begun();
        let given_up = self.given_up.iter().filter(|place| **place < begun).count();
        self.ledger.undone_before(begun) <= given_up
    }

    /// Sets whether a reason to pause holds; answers what the source has to be told.
    pub(super) fn pause(&mut self, reason: Reason, holds: bool) -> Option<Change> {
        self.pauses.set(reason, holds)
    }

    pub(super) fn is_paused_for(&self, reason: Reason) -> bool {
        self.pauses.holds(reason)
    }

    /// What the broker should know and was not told.
    pub(super) fn uncommitted(&self) -> Option<i64> {
        self.ledger.watermark().filter(|next| self.sent != Some(*next))
    }

    /// What the broker has not acknowledged, though it may be on its way: a commit that is under way
    /// when a partition goes may yet be refused, and nobody would send it again.
    pub(super) fn unacknowledged(&self) -> Option<i64> {
        self.ledger.watermark().filter(|next| self.committed != Some(*next))
    }

    /// The offset that keeps the group's place in this partition from being forgotten.
    pub(super) fn place_to_keep(&self) -> Option<i64> {
        self.ledger.watermark().or(self.committed)
    }

    /// How many events are being worked on, or done behind one that is not.
    pub(super) fn held(&self) -> usize {
        self.ledger.open().saturating_sub(self.waiting.len())
    }

    /// Keeps an event of a tier until it is due.
    pub(super) fn wait(&mut self, record: BatchRecord, tier: Duration) {
        let due = due(&record, tier, &self.clock);
        let place = self.read(record.offset);
        self.waiting.push_back(Waiting { record, place, due });
    }

    /// The next event that is due, and its place in the ledger.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<(BatchRecord, u64)> {
        self.next_due(now).filter(|due| *due <= now)?;
        self.waiting.pop_front().map(|waiting| (waiting.record, waiting.place))
    }

    /// When the next event comes due; `now` where it is. Of a partition that goes, none does: nothing of it
    /// begins.
    pub(super) fn next_due(&self, now: Instant) -> Option<Instant> {
        let waiting = self.waiting.front().filter(|_| !self.assignment.is_revoked());
        waiting.map(|waiting| match waiting.due {
            Due::Proved(due) => self.clock.proved(due, now),
            Due::Guessed(due) => self.clock.instant_of(due, now),
        })
    }

    /// Whether the next event waits for the broker's time. Where the broker keeps no append times its
    /// acknowledgements prove none.
    pub(super) fn waits_for_proof(&self) -> bool {
        self.waiting.front().is_some_and(|waiting| matches!(waiting.due, Due::Proved(_)))
    }

    /// Whether it is worked on, paused for more than a tier's time, or has something to be committed.
    pub(super) fn is_busy(&self) -> bool {
        self.held() > 0 || self.keep || self.uncommitted().is_some() || self.pauses.but_not_due()
    }

    /// When something is to be looked at though nothing happens: its place is committed again so often,
    /// and a tier's partition is fetched further soon before its next event is due.
    pub(super) fn looked_at_next(&self, refresh: Duration) -> Instant {
        let refresh = self.refreshed + refresh;
        let now = Instant::now();
        let ahead = self.next_due(now).and_then(|due| due.checked_sub(FETCH_AHEAD));
        ahead.filter(|ahead| *ahead > now).map_or(refresh, |ahead| ahead.min(refresh))
    }

    /// Whether enough of a tier waits in memory, which is more when the first is due soon; a paused
    /// one goes on when half of it is left.
    pub(super) fn waits_enough(&self, now: Instant, prefetch: usize) -> bool {
        let soon = self.next_due(now).is_none_or(|due| due <= now + FETCH_AHEAD);
        let limit = if soon { prefetch } else { prefetch.min(WAITING) };
        let limit = if self.is_paused_for(Reason::NotDue) { limit / 2 } else { limit };
        self.waiting.len() >= limit.max(1)
    }
}

/// When an event of a tier may run, in the broker's time: its append plus the tier.
///
/// Where the broker keeps no append time, what the record says stands in, but never later than one
/// tier from now, and never earlier than the record's own time allows.
fn due(record: &Received, tier: Duration, clock: &BrokerClock) -> Due {
    let tier = millis(tier);
    match record.timestamp {
        Some(Timestamp::Appended(appended)) => Due::Proved(appended.saturating_add(tier)),
        other => {
            let said =
                record.headers.get_str(header::RETRY_NOT_BEFORE).and_then(|text| text.parse().ok());
            let created = other.map(|timestamp| timestamp.millis().saturating_add(tier));
            let latest = clock.now().saturating_add(tier);
            let due = said.or(created).unwrap_or(latest);
            Due::Guessed(due.max(created.unwrap_or(Millis::MIN)).min(latest))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Headers, TopicName};

    const TIER: Duration = Duration::from_secs(5);

    fn record(timestamp: Option<Timestamp>, not_before: Option<&str>) -> Received {
        let mut headers = Headers::default();
        if let Some(text) = not_before {
            headers.push(header::RETRY_NOT_BEFORE, text);
        }
        Received {
            topic: TopicName::from_static("t.retry.5s"),
            partition: 0,
            offset: 0,
            timestamp,
            key: None,
            payload: None,
            headers,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_is_due_one_tier_after_its_append_whatever_its_header_says() {
        let clock = BrokerClock::new();
        let appended = clock.now() - 2_000;
        for hostile in [
            None,
            Some("0"),
            Some("-5"),
            Some("253402300799999"),
            Some("soon"),
            Some("99999999999999999999"),
        ] {
            let record = record(Some(Timestamp::Appended(appended)), hostile);
            assert_eq!(due(&record, TIER, &clock), Due::Proved(appended + 5_000), "{hostile:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_append_times_a_header_is_believed_between_the_record_and_one_tier_from_now() {
        let clock = BrokerClock::new();
        let now = clock.now();
        let created = Some(Timestamp::Created(now - 2_000));
        for (said, expected) in [
            (None, now + 3_000),
            (Some((now + 4_000).to_string()), now + 4_000),
            (Some("0".into()), now + 3_000),
            (Some("253402300799999".into()), now + 5_000),
            (Some("garbage".into()), now + 3_000),
        ] {
            let record = record(created, said.as_deref());
            assert_eq!(due(&record, TIER, &clock), Due::Guessed(expected), "{said:?}");
        }
        let future = record(Some(Timestamp::Created(now + 3_600_000)), None);
        assert_eq!(
            due(&future, TIER, &clock),
            Due::Guessed(now + 5_000),
            "a stranger's clock does not stall a partition"
        );
    }
}
