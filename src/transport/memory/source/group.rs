//! What a member and its coordinator say to each other.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::super::broker::{Moves, Refusal};
use super::super::config::OffsetReset;
use super::{AGAIN, Asking, Giving, HEARTBEAT, Member, Position};
use crate::transport::{Assigned, KeptOffsets, Offsets, RevokeReply, SourceEvent, TopicPartition};

impl Member {
    pub(super) fn talk(&mut self, now: Instant) {
        let group = self.subscription.group.clone();
        let moved = self.shared.update(|state, _| state.moved(&group));
        if now < self.beat_at && moved == self.moved {
            return;
        }
        self.beat_at = now + (self.session / 3).min(HEARTBEAT);
        let Some(id) = self.id else { return self.join(now) };
        let closing = self.closing.is_some();
        let answer = self.request(|state, now| match closing {
            // Who leaves takes nothing more.
            true => state.lives(&group, id, now).map(|()| Moves::default()),
            false => state.heartbeat(&group, id, now),
        });
        match answer {
            Ok(moves) => {
                self.moved = moved;
                self.take(moves);
            }
            Err(Refusal::UnknownMember) => self.lost(now),
            Err(_) => self.beat_at = now + AGAIN,
        }
    }

    pub(super) fn join(&mut self, now: Instant) {
        // What is given up or lost is let go first: what the runtime says of it must not be meant for
        // the next assignment.
        if self.closing.is_some() || self.giving.is_some() || self.parting.is_some() {
            return;
        }
        let (subscription, session) = (&self.subscription, self.session);
        let client = self.client;
        match self.request(|state, now| state.join(client, subscription, session, now)) {
            Ok(id) => {
                self.id = Some(id);
                self.announced = false;
                self.beat_at = now;
            }
            Err(_) => self.beat_at = now + AGAIN,
        }
    }

    /// The group has gone on without this member: what it read is another's.
    pub(super) fn lost(&mut self, now: Instant) {
        self.id = None;
        self.beat_at = now;
        self.asking = None;
        let partitions: Vec<_> = std::mem::take(&mut self.positions).into_keys().collect();
        if !partitions.is_empty() {
            let (heard, parting) = oneshot::channel();
            // Nobody listens any more where the member has ended meanwhile.
            let reply = RevokeReply::new(move |_| {
                let _ = heard.send(());
            });
            self.parting = Some(parting);
            self.outbox.push_back(SourceEvent::Revoked { partitions, lost: true, reply });
        }
    }

    pub(super) fn take(&mut self, moves: Moves) {
        let Moves { revoke, assign } = moves;
        if !revoke.is_empty() && self.giving.is_none() && !self.releases(&revoke) {
            self.give_up(revoke);
        }
        if assign.is_empty() && self.announced {
            return;
        }
        self.announced = true;
        match self.subscription.kept.clone() {
            Some(kept) if !assign.is_empty() => self.ask(kept, assign),
            _ => self.begin_all(assign, &Offsets::new()),
        }
    }

    /// Asks for the offsets that the group keeps until there is an answer.
    fn ask(&mut self, kept: Arc<dyn KeptOffsets>, mut partitions: Vec<TopicPartition>) {
        partitions.extend(self.asking.take().into_iter().flat_map(|asking| asking.partitions));
        let answer = Box::pin(async move {
            loop {
                match kept.offsets().await {
                    Ok(offsets) => return offsets,
                    Err(error) => {
                        tracing::warn!(%error, "the offsets that the group keeps are not known yet")
                    }
                }
                tokio::time::sleep(AGAIN).await;
            }
        });
        self.asking = Some(Asking { partitions, answer });
    }

    pub(super) fn begin_asked(&mut self, kept: &Offsets) {
        if let Some(Asking { partitions, .. }) = self.asking.take() {
            self.begin_all(partitions, kept);
        }
    }

    fn begin_all(&mut self, partitions: Vec<TopicPartition>, kept: &Offsets) {
        let assigned = partitions.into_iter().map(|tp| self.begin(tp, kept)).collect();
        self.outbox.push_back(SourceEvent::Assigned(assigned));
    }

    /// Whether partitions are on their way out already.
    pub(super) fn releases(&self, partitions: &[TopicPartition]) -> bool {
        let mut on_their_way = self.commits.iter().flat_map(|commit| &commit.releases);
        on_their_way.any(|tp| partitions.contains(tp))
    }

    fn begin(&mut self, tp: TopicPartition, kept: &Offsets) -> Assigned {
        let kept = kept.iter().find(|(of, _)| *of == tp).map(|(_, next)| *next);
        let group = &self.subscription.group;
        let follows = self.subscription.followers.iter().any(|f| f.topic == tp.topic);
        let reset = if follows { OffsetReset::Earliest } else { self.reset };
        let (committed, next) = self.shared.update(|state, _| {
            let (start, end) = state.bounds(&tp);
            let committed = state.committed(group, &tp).max(kept);
            let next = committed.or(match reset {
                OffsetReset::Earliest => Some(start),
                OffsetReset::Latest => Some(end),
                OffsetReset::Error => None,
            });
            if let Some(next) = next {
                state.begin(group, &tp, next);
            }
            (committed, next)
        });
        if next.is_none() {
            self.report(format!(
                "{tp}: there is no committed offset and the offset reset is `error`"
            ));
        }
        self.positions.insert(tp.clone(), Position { next, paused: false, ended: false });
        Assigned { partition: tp, committed }
    }

    pub(super) fn give_up(&mut self, partitions: Vec<TopicPartition>) {
        self.positions.retain(|tp, _| !partitions.contains(tp));
        if let Some(asking) = &mut self.asking {
            asking.partitions.retain(|tp| !partitions.contains(tp));
        }
        let (release, answer) = oneshot::channel();
        // Nobody listens any more where the wait was over first.
        let reply = RevokeReply::new(move |offsets| drop(release.send(offsets)));
        let revoked = SourceEvent::Revoked { partitions: partitions.clone(), lost: false, reply };
        self.outbox.push_back(revoked);
        let deadline = Instant::now() + self.subscription.revoke_wait;
        self.giving = Some(Giving { partitions, answer, deadline });
    }

    pub(super) fn given_up(&mut self, offsets: Offsets) {
        if let Some(giving) = self.giving.take() {
            self.send_commit(offsets, giving.partitions);
        }
        if self.id.is_none() {
            self.beat_at = Instant::now();
        }
    }
}
