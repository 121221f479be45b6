//! Taking partitions and giving them back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::super::assignment::Assignment;
use super::super::lane::ToShard;
use super::super::partition::Partition;
use super::Member;
use crate::event::TopicName;
use crate::transport::{Assigned, RevokeReply, TopicPartition};

/// Partitions that go once all before their highest begun event is done, or at the deadline.
pub(super) struct Revoke {
    ids: Vec<u64>,
    deadline: Instant,
    reply: RevokeReply,
}

impl Member {
    pub(super) fn assigned(&mut self, assigned: Vec<Assigned>) {
        if !std::mem::replace(&mut self.subscribed, true) {
            self.hooks.subscribed(self.number);
        }
        let mut keep = Vec::new();
        let list: Vec<_> = assigned.iter().map(|assigned| assigned.partition.clone()).collect();
        for Assigned { partition, committed } in assigned {
            let Some(place) = self.topics.place(&partition.topic) else { continue };
            self.assignments += 1;
            let (id, place) = (self.assignments, place.clone());
            let keeps = self.work.keeps_offsets();
            let assignment = Assignment::new(id, partition.clone(), place, keeps)
                .bounded(self.settings.begun_per_partition);
            let assignment = Arc::new(assignment);
            keep.extend(committed.map(|offset| (partition.clone(), offset)));
            self.ids.insert(partition, assignment.id);
            self.partitions
                .insert(assignment.id, Partition::new(assignment, committed, self.clock.clone()));
        }
        // The broker forgets offsets of topics that are not subscribed to, as tiers are, unless they
        // are committed again from time to time.
        if !keep.is_empty() {
            self.source.control.commit(keep);
        }
        tracing::info!(group = %self.settings.group, partitions = %names(&list), "assigned");
        self.work.health.assigned(self.partitions.len());
        self.hooks.assigned(self.number, &list);
    }

    pub(super) fn revoked(
        &mut self,
        partitions: &[TopicPartition],
        lost: bool,
        reply: RevokeReply,
    ) {
        tracing::info!(group = %self.settings.group, partitions = %names(partitions), lost, "revoked");
        let ids: Vec<_> =
            partitions.iter().filter_map(|partition| self.ids.get(partition).copied()).collect();
        for id in &ids {
            self.partitions[id].assignment.revoke();
        }
        // What was taken away already is another's: nothing that runs can be committed.
        let drain = if lost { Duration::ZERO } else { self.settings.revoke_drain };
        self.revokes.push(Revoke { ids, deadline: Instant::now() + drain, reply });
        self.hooks.revoked(self.number, partitions);
    }

    /// Lets those partitions go whose work is done or whose time is over.
    pub(super) fn finish_revokes(&mut self) {
        let now = Instant::now();
        let mut index = 0;
        while index < self.revokes.len() {
            let Revoke { ids, deadline, .. } = &self.revokes[index];
            let finished =
                ids.iter().all(|id| self.partitions.get(id).is_none_or(Partition::is_finished));
            if !finished && now < *deadline {
                index += 1;
                continue;
            }
            let Revoke { ids, reply, .. } = self.revokes.swap_remove(index);
            while let Ok(done) = self.done.try_recv() {
                self.completed(done);
            }
            let mut offsets = Vec::new();
            for id in ids {
                let Some(partition) = self.partitions.remove(&id) else { continue };
                if self.full.remove(&id) && self.full.is_empty() {
                    self.full_since = None;
                }
                let name = partition.assignment.partition.clone();
                offsets.extend(partition.unacknowledged().map(|offset| (name.clone(), offset)));
                // Lost and assigned anew while it drained, it is another assignment's by now.
                if self.ids.get(&name) == Some(&id) {
                    self.ids.remove(&name);
                    self.work.health.paused(name, false);
                }
                partition.assignment.drop_work();
            }
            self.drop_work();
            self.work.health.lost(self.partitions.len());
            reply.release(offsets);
        }
    }

    /// Tells the shards to drop the work of dropped assignments; answers the ids once they have.
    pub(super) fn drop_work(&self) -> Vec<oneshot::Receiver<Vec<String>>> {
        let tell = |shard: &mpsc::UnboundedSender<ToShard>| {
            let (reply, left) = oneshot::channel();
            shard.send(ToShard::Drop(reply)).ok().map(|()| left)
        };
        self.shards.iter().filter_map(tell).collect()
    }
}

fn names(partitions: &[TopicPartition]) -> String {
    let mut topics: BTreeMap<&TopicName, Vec<String>> = BTreeMap::new();
    for TopicPartition { topic, partition } in partitions {
        topics.entry(topic).or_default().push(partition.to_string());
    }
    let fold = |(topic, partitions): (&TopicName, Vec<String>)| {
        format!("{topic}/{}", partitions.join(","))
    };
    topics.into_iter().map(fold).collect::<Vec<_>>().join(" ")
}
