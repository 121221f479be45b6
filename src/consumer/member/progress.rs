//! What is done, and what of it the broker knows.

use std::sync::atomic::Ordering;

use tokio::time::Instant;

use super::super::lane::Done;
use super::super::pause::Reason;
use super::super::work::Finish;
use super::Member;

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
                    partition.ledger.done(place);
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

    /// What has to be looked at without an event: time for a commit, blocked partitions.
    pub(super) fn look_around(&mut self) {
        if self.committed_at.elapsed() >= self.settings.commit_every {
            self.commit();
        }
        let (mut keep, now) = (Vec::new(), Instant::now());
        for id in self.partitions.keys().copied().collect::<Vec<_>>() {
            let partition = self.partitions.get_mut(&id).expect("the ids were just read");
            let assignment = partition.assignment.clone();
            if partition.refreshed.elapsed() >= self.settings.offset_refresh {
                partition.refreshed = Instant::now();
                keep.extend(
                    partition.place_to_keep().map(|offset| (assignment.partition.clone(), offset)),
                );
            }
            if assignment.place.tier.is_some() {
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
}
