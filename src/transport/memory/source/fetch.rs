//! Fetching: partitions take turns.

use tokio::time::Instant;

use super::super::broker::Fetched;
use super::super::config::OffsetReset;
use super::Member;
use crate::error::ErrorClass;
use crate::transport::{RecordBatch, SourceEvent, TopicPartition, TransportError};

impl Member {
    pub(super) fn fetch(&mut self, now: Instant) {
        if !self.may_fetch() {
            return;
        }
        if self.subscription.ends {
            self.tell_ends();
        }
        if self.fetch_at.is_none() {
            if self.readable().is_none() {
                return;
            }
            let takes = self.shared.update(|state, now| state.latency() + state.slowness(now));
            self.fetch_at = Some(now + takes);
        }
        if self.fetch_at.is_some_and(|at| at <= now) {
            self.fetch_at = None;
            if let Some(tp) = self.readable() {
                self.turn = self.turn.wrapping_add(1);
                self.fetch_from(&tp);
            }
            // Whether there is more is looked at once this is taken.
        }
    }

    pub(super) fn may_fetch(&self) -> bool {
        self.outbox.is_empty() && self.closing.is_none()
    }

    /// The next partition that there is something to read in.
    pub(super) fn readable(&mut self) -> Option<TopicPartition> {
        let isolation = self.isolation;
        let open = self.positions.iter().filter(|(_, position)| !position.paused);
        let open: Vec<_> =
            open.filter_map(|(tp, position)| Some((tp.clone(), position.next?))).collect();
        let turn = self.turn;
        self.shared.update(|state, _| {
            let count = open.len();
            (0..count).map(|at| &open[(turn + at) % count]).find_map(|(tp, next)| {
                match state.fetch(tp, *next, 1, isolation) {
                    Fetched::Records(records, after) if records.is_empty() && after == *next => {
                        None
                    }
                    _ => Some(tp.clone()),
                }
            })
        })
    }

    /// Tells of partitions that were read to their end and of which that was not told.
    fn tell_ends(&mut self) {
        let Self { positions, shared, outbox, isolation, .. } = self;
        for (tp, position) in positions.iter_mut().filter(|(_, p)| !p.paused && !p.ended) {
            let Some(next) = position.next else { continue };
            let found = shared.update(|state, _| state.fetch(tp, next, 1, *isolation));
            if matches!(&found, Fetched::Records(records, after) if records.is_empty() && *after == next)
            {
                position.ended = true;
                outbox.push_back(SourceEvent::End(tp.clone()));
            }
        }
    }

    pub(super) fn fetch_from(&mut self, tp: &TopicPartition) {
        let Some(next) = self.positions.get(tp).and_then(|position| position.next) else { return };
        let (most, isolation) = (self.most, self.isolation);
        match self.shared.update(|state, _| state.fetch(tp, next, most, isolation)) {
            Fetched::Records(records, after) => {
                self.go_on_at(tp, Some(after));
                if !records.is_empty() {
                    self.positions.entry(tp.clone()).and_modify(|position| position.ended = false);
                    let records = records.iter().map(|record| (**record).clone()).collect();
                    let batch = RecordBatch { partition: tp.clone(), records };
                    self.outbox.push_back(SourceEvent::Records(batch));
                }
            }
            Fetched::OutOfRange(start, end) => {
                let follows = self.subscription.followers.iter().any(|f| f.topic == tp.topic);
                let goes_on = match self.reset {
                    _ if follows => Some(start),
                    OffsetReset::Earliest => Some(start),
                    OffsetReset::Latest => Some(end),
                    OffsetReset::Error => None,
                };
                let to = goes_on.map_or("nowhere".to_owned(), |offset| format!("at {offset}"));
                self.report(format!(
                    "{tp}: offset {next} is out of range ({start} to {end}); it goes on {to}"
                ));
                self.go_on_at(tp, goes_on);
            }
        }
    }

    pub(super) fn go_on_at(&mut self, tp: &TopicPartition, next: Option<i64>) {
        if let Some(position) = self.positions.get_mut(tp) {
            position.next = next;
        }
    }

    pub(super) fn report(&mut self, what: String) {
        let error = TransportError { what, class: ErrorClass::Retriable, source: None };
        self.outbox.push_back(SourceEvent::Error(error));
    }
}
