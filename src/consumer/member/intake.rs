//! Taking records: onto lanes, or into memory until they are due; and when to take no more.

use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::super::assignment::Assignment;
use super::super::batch::{BatchRecord, Local};
use super::super::lane::{Job, ToShard};
use super::super::pause::{Change, Reason};
use super::super::settings::Order;
use super::Member;
use crate::transport::{Received, RecordBatch, Timestamp};

/// How long nothing is received because a partition is full, before that partition is paused. A busy
/// consumer is full for moments; the group waits for it no longer than this.
const STALL: Duration = Duration::from_millis(100);

/// What one shard gets of a batch.
struct Share {
    assignment: Local<Assignment>,
    records: Local<Vec<Received>>,
    jobs: Vec<Job>,
}

impl Member {
    pub(super) fn received(&mut self, batch: RecordBatch) {
        let RecordBatch { partition: name, records } = batch;
        let Some(id) = self.ids.get(&name).copied() else { return };
        let Some(partition) = self.partitions.get_mut(&id) else { return };
        if self.stopping || partition.assignment.is_revoked() {
            return;
        }
        if let Some(appended) = records.last().and_then(|last| last.timestamp)
            && let Timestamp::Appended(appended) = appended
        {
            self.clock.read_append(appended);
        }
        let assignment = partition.assignment.clone();
        self.hooks.records(self.number, &records);
        match assignment.place.tier {
            None => {
                let records = Arc::new(records);
                let mut shares: Vec<Option<Share>> = self.shards.iter().map(|_| None).collect();
                for (at, record) in records.iter().enumerate() {
                    let place = partition.read(record.offset);
                    let lane = self.lanes.of(&assignment, record);
                    let shard = usize::try_from(lane % shares.len() as u64).unwrap_or_default();
                    let share = shares[shard].get_or_insert_with(|| Share {
                        assignment: Arc::new(assignment.clone()),
                        records: Arc::new(records.clone()),
                        jobs: Vec::with_capacity(records.len()),
                    });
                    let record = BatchRecord::of(&share.records, at);
                    let assignment = share.assignment.clone();
                    share.jobs.push(Job { assignment, place, record, lane });
                }
                for (shard, share) in self.shards.iter().zip(shares) {
                    if let Some(Share { jobs, .. }) = share {
                        // Fails only when the shard has ended, and it ends after this member.
                        let _ = shard.send(ToShard::Work(jobs));
                    }
                }
                self.balance(id);
            }
            Some(tier) => {
                let delay = assignment.place.main.around.tiers[tier].0.delay();
                for record in BatchRecord::all(records) {
                    partition.wait(record, delay);
                }
                self.release(id);
            }
        }
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        let now = Instant::now();
        self.partitions.values().filter_map(|partition| partition.next_due(now)).min()
    }

    pub(super) fn release_due(&mut self) {
        let now = Instant::now();
        let due =
            self.partitions.iter().filter(|(_, p)| p.next_due(now).is_some_and(|due| due <= now));
        for id in due.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.release(id);
        }
    }

    /// Hands over what is due of a tier's partition, and pauses or resumes it.
    pub(super) fn release(&mut self, id: u64) {
        let Some(partition) = self.partitions.get_mut(&id) else { return };
        let now = Instant::now();
        let assignment = partition.assignment.clone();
        if assignment.is_revoked() {
            return;
        }
        let shared = Arc::new(assignment.clone());
        while let Some((record, place)) = partition.take_due(now) {
            let lane = self.lanes.of(&assignment, &record);
            let shard = usize::try_from(lane % self.shards.len() as u64).unwrap_or_default();
            let job = Job { assignment: shared.clone(), place, record, lane };
            let _ = self.shards[shard].send(ToShard::Work(vec![job]));
        }
        let enough = partition.waits_enough(now, self.settings.prefetch);
        self.pause(id, Reason::NotDue, enough);
        self.balance(id);
    }

    /// Notes whether enough of a partition is worked on, and lets a paused one go on when half of it
    /// is done. What waits on a tier is bounded beside that.
    pub(super) fn balance(&mut self, id: u64) {
        let Some(partition) = self.partitions.get(&id) else { return };
        let (held, prefetch) = (partition.held(), self.settings.prefetch);
        if partition.is_paused_for(Reason::Backpressure) {
            if held <= prefetch / 2 {
                self.pause(id, Reason::Backpressure, false);
            }
        } else if held >= prefetch {
            self.full_since.get_or_insert_with(Instant::now);
            self.full.insert(id);
        } else if self.full.remove(&id) && self.full.is_empty() {
            self.full_since = None;
        }
    }

    /// Until when nothing is received because a partition is full.
    pub(super) fn receives_again(&self) -> Option<Instant> {
        self.full_since.map(|since| since + STALL)
    }

    /// A pause throws away what the client has fetched ahead, so only what stays full is paused.
    pub(super) fn pause_full(&mut self) {
        self.full_since = None;
        for id in std::mem::take(&mut self.full) {
            self.pause(id, Reason::Backpressure, true);
        }
    }

    pub(super) fn pause(&mut self, id: u64, reason: Reason, holds: bool) {
        let Some(partition) = self.partitions.get_mut(&id) else { return };
        let name = partition.assignment.partition.clone();
        let Some(change) = partition.pause(reason, holds) else { return };
        self.work.health.paused(name.clone(), change == Change::Pause);
        match change {
            Change::Pause => self.source.control.pause(vec![name]),
            Change::Resume => self.source.control.resume(vec![name]),
        }
    }
}

/// Gives each record its lane.
///
/// A lane's number says on which shard it lies, and lanes of one number are one. It is a hash whose key
/// differs from process to process, unless a seed was given: keys come from strangers, who could else
/// choose them so that all of theirs lie on one shard or crowd one place of its map.
pub(super) struct Lanes {
    order: Order,
    keyed: DefaultHasher,
    /// Records so far that have a lane of their own.
    single: u64,
    shards: u64,
}

impl Lanes {
    pub(super) fn new(order: Order, key: u64, shards: usize) -> Self {
        let mut keyed = DefaultHasher::new();
        keyed.write_u64(key);
        Self { order, keyed, single: 0, shards: shards.max(1) as u64 }
    }

    /// The lane of a record: its key's, its partition's, or one of its own.
    pub(super) fn of(&mut self, assignment: &Assignment, record: &Received) -> u64 {
        let mut hasher = self.keyed.clone();
        match (self.order, &record.key) {
            (Order::ByKey, Some(key)) => {
                // Main topic and tiers share a key's lane.
                hasher.write_u64(assignment.place.main.number);
                hasher.write(key);
            }
            (Order::ByKey, None) => hasher.write_u64(self.single()),
            (Order::ByPartition, _) => {
                hasher.write_u64(assignment.id);
                return self.with_others(assignment, hasher.finish());
            }
            (Order::Unordered, _) => {
                hasher.write_u64(self.single());
                return self.with_others(assignment, hasher.finish());
            }
        }
        hasher.finish()
    }

    /// A lane on the shard that all of a partition is on: one after the other, so that each shard has its share of
    /// the partitions.
    fn with_others(&self, assignment: &Assignment, hash: u64) -> u64 {
        let lane = hash >> 1;
        lane - lane % self.shards + assignment.id % self.shards
    }

    fn single(&mut self) -> u64 {
        self.single = self.single.wrapping_add(1);
        self.single
    }
}
