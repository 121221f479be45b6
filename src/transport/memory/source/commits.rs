//! Commits on their way, and partitions that go with them.

use tokio::time::Instant;

use super::super::broker::Refusal;
use super::{Commit, Member};
use crate::error::ErrorClass;
use crate::transport::{Offsets, SourceEvent, TopicPartition, TransportError};

impl Member {
    /// Commits what is still ours. The broker takes a commit of any partition from any member, so one
    /// that comes after the revoke would move the new owner's offset back.
    pub(super) fn commit_owned(&mut self, offsets: Offsets) {
        let (ours, lost): (Offsets, Offsets) =
            offsets.into_iter().partition(|(tp, _)| self.positions.contains_key(tp));
        if !lost.is_empty() {
            let result = Err(TransportError {
                what: "a commit came after its partitions were taken from this member".into(),
                class: ErrorClass::Permanent,
                source: None,
            });
            self.outbox.push_back(SourceEvent::Committed { offsets: lost, result });
        }
        if !ours.is_empty() {
            self.send_commit(ours, Vec::new());
        }
    }

    pub(super) fn send_commit(&mut self, offsets: Offsets, releases: Vec<TopicPartition>) {
        let takes = self.shared.update(|state, _| state.latency());
        let before = self.commits.back().map(|commit| commit.due);
        let due = before.into_iter().chain([Instant::now() + takes]).max();
        let due = due.unwrap_or_else(Instant::now);
        self.commits.push_back(Commit { member: self.id, offsets, due, releases });
    }

    pub(super) fn send_commits(&mut self, now: Instant) {
        while self.commits.front().is_some_and(|commit| commit.due <= now) {
            let Some(Commit { member, offsets, releases, .. }) = self.commits.pop_front() else {
                return;
            };
            let group = self.subscription.group.clone();
            if !offsets.is_empty() {
                let result = self.request(|state, now| match member {
                    Some(member) => state.commit(&group, member, &offsets, now),
                    None => Err(Refusal::UnknownMember),
                });
                if result == Err(Refusal::UnknownMember) && self.id.is_some() && self.id == member {
                    self.lost(now);
                }
                let result = result.map_err(|refusal| TransportError {
                    what: format!("the offsets were not committed: {refusal}"),
                    class: refusal.class(),
                    source: None,
                });
                self.outbox.push_back(SourceEvent::Committed { offsets, result });
            }
            if let (Some(member), false) = (member, releases.is_empty()) {
                // What a killed one has is free once its session is over.
                let _ = self.request(|state, _| {
                    state.release(&group, member, &releases);
                    Ok(())
                });
            }
        }
    }
}
