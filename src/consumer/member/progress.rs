//! What is done, and what of it the broker knows.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::super::lane::Done;
use super::super::partition::Partition;
use super::super::pause::Reason;
use super::super::work::Finish;
use super::{CALM, Member};
use crate::retry::Backoff;
use crate::transport::{CommitFailed, Offsets};

/// Until commits that were refused are sent again: a group that takes in a member refuses them for a moment.
const AGAIN: Backoff = Backoff::exponential(Duration::from_millis(100)).cap(Duration::from_secs(2));
/// So many in a row are worth a word.
const GOES_ON: u32 = 3;

/// Commits that were refused.
#[derive(Default)]
pub(super) struct Refused {
    /// How many since the last that was taken.
    in_a_row: u32,
    /// When what they said is sent again.
    again: Option<Instant>,
}

impl Member {
    pub(super) fn completed(&mut self, done: Vec<Done>) {
        let mut urgent = false;
        for Done { assignment, place, finish, left } in done {
            if self.stopping {
                self.left.extend(left);
            }
            // A completion that comes after the revoke finds no partition of its id.
            let Some(partition) = self.partitions.get_mut(&assignment) else { continue };
            match finish {
                Finish::Done { moved } => {
                    partition.done(place);
                    urgent |= moved;
                    self.finished += 1;
                    if partition.is_paused_for(Reason::Backpressure) || !self.full.is_empty() {
                        self.balance(assignment);
                    }
                }
                Finish::Abandoned | Finish::NotBegun => partition.give_up(place),
                Finish::Fatal(why) => {
                    partition.give_up(place);
                    self.fail(why);
                }
            }
        }
        if urgent || self.finished >= self.settings.commit_every_events {
            self.commit();
        }
    }

    /// Sends what may be committed and was not.
    pub(super) fn commit(&mut self) {
        self.finished = 0;
        self.committed_at = Instant::now();
        let mut offsets = Vec::new();
        for partition in self.partitions.values_mut() {
            if let Some(offset) = partition.uncommitted() {
                partition.sent = Some(offset);
                partition.refreshed = Instant::now();
                offsets.push((partition.assignment.partition.clone(), offset));
            }
        }
        if !offsets.is_empty() {
            self.source.control.commit(offsets);
        }
    }

    /// Notes what became of a commit. What was refused is sent again soon, as the ledger says then.
    pub(super) fn committed(&mut self, offsets: Offsets, result: Result<(), CommitFailed>) {
        let ours = offsets.iter().any(|(partition, _)| self.ids.contains_key(partition));
        if result.is_err() && !ours {
            // What was lost before its commit was carried out says nothing about other commits.
            return;
        }
        match &result {
            Ok(()) => self.refused.in_a_row = 0,
            Err(error) => {
                let (refused, now) = (&mut self.refused, Instant::now());
                refused.in_a_row = refused.in_a_row.saturating_add(1);
                refused.again.get_or_insert(now + AGAIN.delay(refused.in_a_row));
                let error = crate::error::chain(error);
                match refused.in_a_row {
                    GOES_ON.. => tracing::warn!(error, "commits are refused; they are sent again"),
                    _ => tracing::debug!(error, "a commit was refused; it is sent again"),
                }
            }
        }
        for (partition, offset) in offsets {
            let id = self.ids.get(&partition);
            let Some(partition) = id.and_then(|id| self.partitions.get_mut(id)) else { continue };
            match &result {
                Ok(()) => partition.committed = Some(offset),
                Err(_) if partition.sent == Some(offset) => partition.sent = None,
                // Nothing is done here yet: it was to keep the group's place.
                Err(_) if partition.sent.is_none() => partition.keep = true,
                Err(_) => {}
            }
        }
        self.work.health.committed(result.map_err(|error| crate::error::chain(&error)));
    }

    /// What has to be looked at without an event: time for a commit, blocked partitions.
    pub(super) fn look_around(&mut self) {
        let (mut keep, now) = (Vec::new(), Instant::now());
        let again = self.refused.again.take_if(|at| *at <= now).is_some();
        if again || self.committed_at.elapsed() >= self.settings.commit_every {
            self.commit();
        }
        for id in self.partitions.keys().copied().collect::<Vec<_>>() {
            let partition = self.partitions.get_mut(&id).expect("the ids were just read");
            let assignment = partition.assignment.clone();
            let stale = partition.refreshed.elapsed() >= self.settings.offset_refresh;
            if stale || again && std::mem::take(&mut partition.keep) {
                partition.refreshed = Instant::now();
                keep.extend(
                    partition.place_to_keep().map(|offset| (assignment.partition.clone(), offset)),
                );
            }
            if assignment.place.tier.is_some() {
                if partition.waits_for_proof() && !self.clock.has_asked() {
                    self.work.forward.ask_the_time(&assignment.partition);
                }
                let enough = partition.waits_enough(now, self.settings.prefetch);
                self.pause(id, Reason::NotDue, enough);
            }
            self.pause(id, Reason::FailurePath, assignment.stuck.load(Ordering::SeqCst) > 0);
            self.pause(id, Reason::Outage, assignment.outage.load(Ordering::SeqCst) > 0);
            let by_user =
                self.settings.is_paused(&assignment.partition.topic, &assignment.place.main.name);
            self.pause(id, Reason::User, by_user);
        }
        if !keep.is_empty() {
            self.source.control.commit(keep);
        }
    }

    /// While nothing is worked on or held up: until when nothing has to be looked at.
    pub(super) fn calm_until(&self) -> Option<Instant> {
        let busy = |partition: &Partition| {
            let asks = partition.waits_for_proof() && !self.clock.has_asked();
            partition.is_busy() || asks
        };
        let waits = !self.revokes.is_empty() || self.refused.again.is_some();
        if waits || self.partitions.values().any(busy) {
            return None;
        }
        let refresh = self.settings.offset_refresh;
        let next = self.partitions.values().map(|partition| partition.looked_at_next(refresh));
        next.chain([Instant::now() + CALM]).min()
    }
}
