//! One member of the group: the single owner of its partitions, ledgers, pauses and commits.
//!
//! It reads one channel of events from the source and one of completions from the lanes, and never
//! waits for either while it holds work: what cannot be taken now is paused at the source.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout_at};

use super::assignment::Assignment;
use super::batch::BatchRecord;
use super::hooks::Hooks;
use super::lane::{Done, Job, Shard, ToShard};
use super::partition::Partition;
use super::pause::{Change, Reason};
use super::plan::Topics;
use super::settings::{Order, Settings};
use super::stop::MemberReport;
use super::work::{Finish, Work};
use crate::clock::BrokerClock;
use crate::error::ErrorClass;
use crate::transport::{
    Assigned, Received, RecordBatch, RevokeReply, Source, SourceEvent, TopicPartition,
};

/// How often pauses and commits are looked at when nothing else happens.
const TICK: Duration = Duration::from_millis(100);
/// How long nothing is read while a partition is full, before it is paused: a pause makes the client throw away
/// what it has fetched, and fast handlers make room sooner.
const PATIENCE: Duration = Duration::from_millis(20);
/// How long a member that was told to stop waits for the source beyond the deadline.
const LEAVE: Duration = Duration::from_secs(5);

pub(super) struct Member {
    source: Source,
    topics: Arc<Topics>,
    settings: Arc<Settings>,
    hooks: Arc<Hooks>,
    work: Arc<Work>,
    clock: BrokerClock,
    partitions: HashMap<u64, Partition>,
    ids: HashMap<TopicPartition, u64>,
    /// Partitions that are full and not paused, and when they will be. Nothing is read meanwhile.
    full: Vec<u64>,
    full_until: Instant,
    shards: Vec<mpsc::UnboundedSender<ToShard>>,
    done: mpsc::UnboundedReceiver<Vec<Done>>,
    tasks: JoinSet<()>,
    revokes: Vec<Revoke>,
    hasher: std::collections::hash_map::RandomState,
    lanes: u64,
    finished: u64,
    committed_at: Instant,
    stopping: bool,
    failed: Option<String>,
}

/// Partitions that go once their running work is done, or at the deadline.
struct Revoke {
    ids: Vec<u64>,
    deadline: Instant,
    reply: RevokeReply,
}

impl Member {
    pub(super) fn new(
        source: Source,
        topics: Arc<Topics>,
        settings: Arc<Settings>,
        hooks: Arc<Hooks>,
        work: Work,
        clock: BrokerClock,
    ) -> Self {
        let work = Arc::new(work);
        let (outbox, done) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        let shards = settings.shards();
        let limit = settings.concurrency.div_ceil(shards);
        let shards = (0..shards)
            .map(|_| {
                let (to, inbox) = mpsc::unbounded_channel();
                tasks.spawn(Shard::new(inbox, outbox.clone(), work.clone(), limit).run());
                to
            })
            .collect();
        Self {
            source,
            topics,
            settings,
            hooks,
            work,
            clock,
            partitions: HashMap::new(),
            ids: HashMap::new(),
            full: Vec::new(),
            full_until: Instant::now(),
            shards,
            done,
            tasks,
            revokes: Vec::new(),
            hasher: std::collections::hash_map::RandomState::new(),
            lanes: 0,
            finished: 0,
            committed_at: Instant::now(),
            stopping: false,
            failed: None,
        }
    }

    /// Runs until it is told to stop, or cannot go on; `stop` holds the deadline.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<Option<Instant>>) -> MemberReport {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let deadline = loop {
            let due = self.next_due();
            tokio::select! {
                biased;
                deadline = told(&mut stop) => break deadline,
                Some(done) = self.done.recv() => self.completed(done),
                event = self.source.events.recv(), if self.full.is_empty() => match event {
                    Some(event) => self.happened(event),
                    None => self.fail("the source has ended".into()),
                },
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.release_due(),
                () = sleep_until(self.full_until), if !self.full.is_empty() => self.pause_full(),
                _ = tick.tick() => self.look_around(),
            }
            self.finish_revokes();
            if self.failed.is_some() {
                break Instant::now() + self.settings.revoke_drain;
            }
        };
        self.leave(deadline).await
    }

    fn fail(&mut self, why: String) {
        tracing::error!(why, group = %self.settings.group, "the consumer ends");
        self.work.health.ended(why.clone());
        self.failed.get_or_insert(why);
    }

    fn happened(&mut self, event: SourceEvent) {
        if event.is_fatal()
            && let SourceEvent::Error(error) = &event
        {
            return self.fail(crate::error::chain(error));
        }
        match event {
            SourceEvent::Assigned(assigned) => self.assigned(assigned),
            SourceEvent::Revoked { partitions, lost, reply } => {
                self.revoked(&partitions, lost, reply)
            }
            SourceEvent::Records(batch) => self.received(batch),
            SourceEvent::Committed { offsets, result } => {
                if let Err(error) = &result {
                    tracing::warn!(
                        error = crate::error::chain(error),
                        "a commit was not taken; it is sent again"
                    );
                    for (partition, offset) in &offsets {
                        let id = self.ids.get(partition);
                        if let Some(partition) = id.and_then(|id| self.partitions.get_mut(id))
                            && partition.sent == Some(*offset)
                        {
                            partition.sent = None;
                        }
                    }
                }
                self.work.health.committed(result.map_err(|error| crate::error::chain(&error)));
            }
            SourceEvent::Error(error) => {
                let text = crate::error::chain(&error);
                match error.class {
                    ErrorClass::Permanent => {
                        tracing::error!(error = text, "the source reports an error")
                    }
                    _ => tracing::warn!(error = text, "the source reports an error and goes on"),
                }
            }
        }
    }

    fn assigned(&mut self, assigned: Vec<Assigned>) {
        let mut keep = Vec::new();
        let list: Vec<_> = assigned.iter().map(|assigned| assigned.partition.clone()).collect();
        for Assigned { partition, committed } in assigned {
            let Some(place) = self.topics.place(&partition.topic) else { continue };
            let assignment = Arc::new(Assignment::new(partition.clone(), place.clone()));
            keep.extend(committed.map(|offset| (partition.clone(), offset)));
            self.ids.insert(partition, assignment.id);
            self.partitions.insert(assignment.id, Partition::new(assignment, committed));
        }
        // The broker forgets offsets of topics that are not subscribed to, as tiers are, unless they
        // are committed again from time to time.
        if !keep.is_empty() {
            self.source.control.commit(keep);
        }
        tracing::info!(group = %self.settings.group, partitions = %names(&list), "assigned");
        self.work.health.assigned(self.partitions.len());
        self.hooks.assigned(&list);
    }

    fn revoked(&mut self, partitions: &[TopicPartition], lost: bool, reply: RevokeReply) {
        tracing::info!(group = %self.settings.group, partitions = %names(partitions), lost, "revoked");
        let ids: Vec<_> =
            partitions.iter().filter_map(|partition| self.ids.get(partition).copied()).collect();
        for id in &ids {
            self.partitions[id].assignment.revoke();
        }
        // What was taken away already is another's: nothing that runs can be committed.
        let drain = if lost { Duration::ZERO } else { self.settings.revoke_drain };
        self.revokes.push(Revoke { ids, deadline: Instant::now() + drain, reply });
        self.hooks.revoked(partitions);
    }

    /// Lets those partitions go whose work is done or whose time is over.
    fn finish_revokes(&mut self) {
        let now = Instant::now();
        let mut index = 0;
        while index < self.revokes.len() {
            let Revoke { ids, deadline, .. } = &self.revokes[index];
            let idle =
                ids.iter().all(|id| self.partitions.get(id).is_none_or(|p| p.assignment.is_idle()));
            if !idle && now < *deadline {
                index += 1;
                continue;
            }
            let Revoke { ids, reply, .. } = self.revokes.swap_remove(index);
            // A shard hands over what is done before it says that it is idle.
            while let Ok(done) = self.done.try_recv() {
                self.completed(done);
            }
            let mut offsets = Vec::new();
            for id in ids {
                let Some(partition) = self.partitions.remove(&id) else { continue };
                let name = partition.assignment.partition.clone();
                offsets.extend(partition.uncommitted().map(|offset| (name.clone(), offset)));
                self.ids.remove(&name);
                self.full.retain(|full| *full != id);
                self.work.health.blocked(name.to_string(), None);
                partition.assignment.drop_work();
            }
            self.drop_work();
            self.work.health.lost(self.partitions.len());
            reply.release(offsets);
        }
    }

    /// Tells the shards to drop the work of dropped assignments; answers the ids once they have.
    fn drop_work(&self) -> Vec<oneshot::Receiver<Vec<String>>> {
        let tell = |shard: &mpsc::UnboundedSender<ToShard>| {
            let (reply, left) = oneshot::channel();
            shard.send(ToShard::Drop(reply)).ok().map(|()| left)
        };
        self.shards.iter().filter_map(tell).collect()
    }

    fn received(&mut self, batch: RecordBatch) {
        let RecordBatch { partition: name, records } = batch;
        let Some(id) = self.ids.get(&name).copied() else { return };
        let Some(partition) = self.partitions.get_mut(&id) else { return };
        if self.stopping || partition.assignment.is_revoked() {
            return;
        }
        if let Some(appended) = records.last().and_then(|last| last.timestamp)
            && let crate::transport::Timestamp::Appended(appended) = appended
        {
            self.clock.read_append(appended);
        }
        let assignment = partition.assignment.clone();
        match assignment.place.tier {
            None => {
                let mut jobs: Vec<Vec<Job>> = self.shards.iter().map(|_| Vec::new()).collect();
                for record in BatchRecord::all(records) {
                    if partition.ledger.has_passed(record.offset) {
                        continue;
                    }
                    let place = partition.ledger.read(record.offset);
                    let lane = lane(
                        &self.hasher,
                        &mut self.lanes,
                        self.settings.order,
                        &assignment,
                        &record,
                    );
                    let shard = usize::try_from(lane % jobs.len() as u64).unwrap_or_default();
                    jobs[shard].push(Job { assignment: assignment.clone(), place, record, lane });
                }
                for (shard, jobs) in self.shards.iter().zip(jobs) {
                    if !jobs.is_empty() {
                        // Fails only when the shard has ended, and it ends after this member.
                        let _ = shard.send(ToShard::Work(jobs));
                    }
                }
                self.balance(id);
            }
            Some(tier) => {
                let delay = assignment.place.main.around.tiers[tier].0.delay();
                for record in BatchRecord::all(records) {
                    if !partition.ledger.has_passed(record.offset) {
                        partition.wait(record, delay, &self.clock);
                    }
                }
                self.release(id);
            }
        }
    }

    fn next_due(&self) -> Option<Instant> {
        self.partitions.values().filter_map(Partition::next_due).min()
    }

    fn release_due(&mut self) {
        let now = Instant::now();
        let due =
            self.partitions.iter().filter(|(_, p)| p.next_due().is_some_and(|due| due <= now));
        for id in due.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.release(id);
        }
    }

    /// Hands over what is due of a tier's partition, and pauses or resumes it.
    fn release(&mut self, id: u64) {
        let Some(partition) = self.partitions.get_mut(&id) else { return };
        let now = Instant::now();
        let assignment = partition.assignment.clone();
        if assignment.is_revoked() {
            return;
        }
        while let Some((record, place)) = partition.take_due(now) {
            let lane =
                lane(&self.hasher, &mut self.lanes, self.settings.order, &assignment, &record);
            let shard = usize::try_from(lane % self.shards.len() as u64).unwrap_or_default();
            let job = Job { assignment: assignment.clone(), place, record, lane };
            let _ = self.shards[shard].send(ToShard::Work(vec![job]));
        }
        let enough = partition.waits_enough();
        self.pause(id, Reason::NotDue, enough);
        self.balance(id);
    }

    /// Stops reading a partition of which enough is in memory; it goes on when half of it is done.
    fn balance(&mut self, id: u64) {
        let Some(partition) = self.partitions.get(&id) else { return };
        let held = partition.held();
        let stopped = partition.is_paused_for(Reason::Backpressure) || self.full.contains(&id);
        let full = match stopped {
            true => held > self.settings.prefetch / 2,
            false => held >= self.settings.prefetch,
        };
        // What waits on a tier is bounded by its own reason.
        if !full || partition.assignment.place.tier.is_some() {
            self.full.retain(|full| *full != id);
            self.pause(id, Reason::Backpressure, false);
        } else if !stopped {
            if self.full.is_empty() {
                self.full_until = Instant::now() + PATIENCE;
            }
            self.full.push(id);
        }
    }

    /// Pauses what has stayed full, so that the others are read again.
    fn pause_full(&mut self) {
        for id in std::mem::take(&mut self.full) {
            self.pause(id, Reason::Backpressure, true);
        }
    }

    fn pause(&mut self, id: u64, reason: Reason, holds: bool) {
        let Some(partition) = self.partitions.get_mut(&id) else { return };
        let name = partition.assignment.partition.clone();
        match partition.pause(reason, holds) {
            Some(Change::Pause) => self.source.control.pause(vec![name]),
            Some(Change::Resume) => self.source.control.resume(vec![name]),
            None => {}
        }
    }

    fn completed(&mut self, done: Vec<Done>) {
        let mut urgent = false;
        for Done { assignment, place, finish } in done {
            // A completion that comes after the revoke finds no partition of its id.
            let Some(partition) = self.partitions.get_mut(&assignment) else { continue };
            match finish {
                Finish::Done { moved } => {
                    partition.ledger.done(place);
                    urgent |= moved;
                    self.finished += 1;
                    let stopped = partition.is_paused_for(Reason::Backpressure)
                        || self.full.contains(&assignment);
                    if stopped {
                        self.balance(assignment);
                    }
                }
                Finish::Abandoned => {}
                Finish::Fatal(why) => self.fail(why),
            }
        }
        if urgent || self.finished >= self.settings.commit_every_events {
            self.commit();
        }
    }

    /// Sends what may be committed and was not.
    fn commit(&mut self) {
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
    fn look_around(&mut self) {
        if self.committed_at.elapsed() >= self.settings.commit_every {
            self.commit();
        }
        let mut keep = Vec::new();
        for id in self.partitions.keys().copied().collect::<Vec<_>>() {
            let partition = self.partitions.get_mut(&id).expect("the ids were just read");
            let assignment = partition.assignment.clone();
            if partition.refreshed.elapsed() >= self.settings.offset_refresh {
                partition.refreshed = Instant::now();
                keep.extend(
                    partition.place_to_keep().map(|offset| (assignment.partition.clone(), offset)),
                );
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

    /// Finishes what runs, up to the deadline; commits; leaves the group.
    async fn leave(mut self, deadline: Instant) -> MemberReport {
        self.stopping = true;
        self.partitions.values().for_each(|partition| partition.assignment.revoke());
        while !self.partitions.values().all(|partition| partition.assignment.is_idle()) {
            tokio::select! {
                biased;
                () = sleep_until(deadline) => break,
                Some(done) = self.done.recv() => self.completed(done),
                Some(event) = self.source.events.recv() => self.happened(event),
                () = tokio::time::sleep(TICK / 10) => {}
            }
            self.finish_revokes();
        }
        self.partitions.values().for_each(|partition| partition.assignment.drop_work());
        let mut unfinished = Vec::new();
        for left in self.drop_work() {
            unfinished.extend(left.await.unwrap_or_default());
        }
        while let Ok(done) = self.done.try_recv() {
            self.completed(done);
        }
        self.commit();
        self.source.control.close();
        let left_group = self.drain_source(deadline.max(Instant::now()) + LEAVE).await;
        self.shards.clear();
        while self.tasks.join_next().await.is_some() {}
        MemberReport { unfinished, left_group, failed: self.failed }
    }

    /// Takes the source's last events; answers whether it ended in time.
    async fn drain_source(&mut self, deadline: Instant) -> bool {
        loop {
            match timeout_at(deadline, self.source.events.recv()).await {
                Ok(None) => return true,
                Ok(Some(SourceEvent::Revoked { reply, .. })) => reply.release(Vec::new()),
                Ok(Some(SourceEvent::Records(_))) => {}
                Ok(Some(event)) => self.happened(event),
                Err(_) => {
                    tracing::error!(group = %self.settings.group, "the client did not leave the group in time; it is left behind");
                    return false;
                }
            }
        }
    }
}

/// The lane of a record: its key's, its partition's, or one of its own.
fn lane(
    hasher: &impl BuildHasher,
    lanes: &mut u64,
    order: Order,
    assignment: &Assignment,
    record: &Received,
) -> u64 {
    let mut state = hasher.build_hasher();
    match (order, &record.key) {
        (Order::ByKey, Some(key)) => {
            // Main topic and tiers share a key's lane.
            std::ptr::hash(Arc::as_ptr(&assignment.place.main), &mut state);
            key.hash(&mut state);
        }
        (Order::ByKey, None) => {
            *lanes = lanes.wrapping_add(1);
            lanes.hash(&mut state);
        }
        (Order::ByPartition, _) => assignment.id.hash(&mut state),
    }
    state.finish()
}

/// Waits until the member is told to stop; answers the deadline.
async fn told(stop: &mut watch::Receiver<Option<Instant>>) -> Instant {
    match stop.wait_for(Option::is_some).await {
        Ok(deadline) => deadline.unwrap_or_else(Instant::now),
        // The handle is gone without a word: then there is nobody to wait for either.
        Err(_) => Instant::now(),
    }
}

fn names(partitions: &[TopicPartition]) -> String {
    partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
