//! A group member that notes what it is told, and checks what holds at any time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::event::TopicName;
use crate::transport::{
    Assigned, Follower, Offsets, Received, RecordBatch, RevokeReply, Source, SourceControl,
    SourceEvent, Subscription, TopicPartition,
};

/// How long a revoke waits unless a behaviour says otherwise: longer than any of them takes.
const REVOKE_WAIT: Duration = Duration::from_secs(60);

/// How a member joins, and what it does when partitions are taken from it.
pub(super) struct Join {
    pub(super) subscription: Subscription,
    on_revoke: OnRevoke,
}

/// What a member answers to a revoke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum OnRevoke {
    /// Nothing is done.
    #[default]
    Release,
    /// All that was read is done.
    CommitRead,
    /// Keeps the reply for the behaviour to give.
    Hold,
    /// Drops the reply.
    Drop,
}

impl Join {
    pub(super) fn new<'a>(
        group: impl Into<String>,
        topics: impl IntoIterator<Item = &'a TopicName>,
    ) -> Self {
        let subscription = Subscription {
            group: group.into(),
            topics: topics.into_iter().cloned().collect(),
            followers: Vec::new(),
            revoke_wait: REVOKE_WAIT,
            kept: None,
            ends: false,
        };
        Self { subscription, on_revoke: OnRevoke::Release }
    }

    pub(super) fn follower(mut self, topic: &TopicName, leader: &TopicName) -> Self {
        let follower = Follower { topic: topic.clone(), leader: leader.clone() };
        self.subscription.followers.push(follower);
        self
    }

    /// Asks for ends of partitions.
    pub(super) fn ends(mut self) -> Self {
        self.subscription.ends = true;
        self
    }

    pub(super) fn on_revoke(mut self, on_revoke: OnRevoke) -> Self {
        self.on_revoke = on_revoke;
        self
    }

    pub(super) fn revoke_wait(mut self, wait: Duration) -> Self {
        self.subscription.revoke_wait = wait;
        self
    }
}

/// What a member knows.
#[derive(Default)]
pub(super) struct State {
    /// Its partitions, and the committed offset that came with each.
    pub(super) owned: BTreeMap<TopicPartition, Option<i64>>,
    /// How many assignments came, empty ones included.
    pub(super) assignments: usize,
    pub(super) records: Vec<Received>,
    /// Ends that were told, and how much of the partition had been read by then.
    pub(super) ends: Vec<(TopicPartition, usize)>,
    pub(super) commits: Vec<(Offsets, Result<(), String>)>,
    /// Replies that were kept.
    pub(super) held: Vec<(Vec<TopicPartition>, RevokeReply)>,
    /// What no source may do.
    pub(super) wrong: Vec<String>,
    errors: Vec<String>,
    on_revoke: OnRevoke,
    /// The next offset after what was read of each partition, since it was assigned.
    next: BTreeMap<TopicPartition, i64>,
}

impl State {
    pub(super) fn partitions(&self) -> BTreeSet<TopicPartition> {
        self.owned.keys().cloned().collect()
    }

    fn assigned(&mut self, assigned: Vec<Assigned>) {
        self.assignments += 1;
        for Assigned { partition, committed } in assigned {
            self.next.remove(&partition);
            if self.owned.insert(partition.clone(), committed).is_some() {
                self.wrong
                    .push(format!("{partition} was assigned to a member that had it already"));
            }
        }
    }

    fn revoked(&mut self, partitions: Vec<TopicPartition>, reply: RevokeReply) {
        for partition in &partitions {
            if !self.owned.contains_key(partition) {
                self.wrong.push(format!("{partition} was revoked from a member that had it not"));
            }
        }
        match self.on_revoke {
            OnRevoke::Hold => return self.held.push((partitions, reply)),
            OnRevoke::Release => reply.release(Vec::new()),
            OnRevoke::CommitRead => {
                let read = |partition: &TopicPartition| {
                    Some((partition.clone(), *self.next.get(partition)?))
                };
                reply.release(partitions.iter().filter_map(read).collect());
            }
            OnRevoke::Drop => drop(reply),
        }
        self.give_up(&partitions);
    }

    fn give_up(&mut self, partitions: &[TopicPartition]) {
        self.owned.retain(|partition, _| !partitions.contains(partition));
    }

    fn read_of(&self, partition: &TopicPartition) -> impl Iterator<Item = &Received> {
        self.records.iter().filter(move |record| {
            record.topic == partition.topic && record.partition == partition.partition
        })
    }

    /// A partition, and which of its offsets were read.
    fn told_of(&self, partition: &TopicPartition) -> String {
        let mut runs: Vec<(i64, i64)> = Vec::new();
        for record in self.read_of(partition) {
            match runs.last_mut() {
                Some((_, to)) if *to == record.offset => *to += 1,
                _ => runs.push((record.offset, record.offset + 1)),
            }
        }
        format!("{partition} (read {runs:?})")
    }

    fn ended(&mut self, partition: TopicPartition) {
        if !self.owned.contains_key(&partition) {
            self.wrong.push(format!("the end of {partition} for a member that has it not"));
        }
        let read = self.read_of(&partition).count();
        self.ends.push((partition, read));
    }

    fn took(&mut self, RecordBatch { partition, records }: RecordBatch) {
        if records.is_empty() {
            self.wrong.push(format!("a batch of {partition} without records"));
        }
        if !self.owned.contains_key(&partition) {
            self.wrong.push(format!("records of {partition} for a member that has it not"));
        }
        for record in records {
            if record.topic != partition.topic || record.partition != partition.partition {
                let (topic, number) = (&record.topic, record.partition);
                self.wrong.push(format!("a record of {topic}/{number} in a batch of {partition}"));
            }
            let next = self.next.entry(partition.clone()).or_insert(record.offset);
            if record.offset < *next {
                self.wrong.push(format!(
                    "offset {} of {partition} came when {next} was next: repeated or out of order",
                    record.offset
                ));
            }
            *next = record.offset + 1;
            self.records.push(record);
        }
    }
}

/// A running member. Dropping it lets go what it holds and leaves the group.
pub(super) struct Member {
    control: Arc<dyn SourceControl>,
    state: Arc<Mutex<State>>,
    left: watch::Receiver<bool>,
    task: JoinHandle<()>,
    killed: bool,
}

impl Member {
    pub(super) fn start(mut source: Source, join: Join, changes: Arc<watch::Sender<u64>>) -> Self {
        let state = State { on_revoke: join.on_revoke, ..State::default() };
        let (state, (leaves, left)) = (Arc::new(Mutex::new(state)), watch::channel(false));
        let control = source.control.clone();
        let noted = state.clone();
        let task = tokio::spawn(async move {
            while let Some(event) = source.events.recv().await {
                {
                    let mut state = lock(&noted);
                    match event {
                        SourceEvent::Assigned(assigned) => state.assigned(assigned),
                        SourceEvent::Revoked { partitions, reply, .. } => {
                            state.revoked(partitions, reply);
                        }
                        SourceEvent::Records(batch) => state.took(batch),
                        SourceEvent::End(partition) => state.ended(partition),
                        SourceEvent::Committed { offsets, result } => {
                            let result = result.map_err(|error| crate::error::chain(&error));
                            state.commits.push((offsets, result));
                        }
                        SourceEvent::Error(error) => {
                            state.errors.push(crate::error::chain(&error));
                        }
                    }
                }
                changes.send_modify(|changes| *changes += 1);
            }
            leaves.send_replace(true);
            changes.send_modify(|changes| *changes += 1);
        });
        Self { control, state, left, task, killed: false }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub(super) fn control(&self) -> &dyn SourceControl {
        &*self.control
    }

    /// Leaves the group.
    pub(super) fn close(&self) {
        self.control.close();
    }

    /// Turns true when the channel of events is closed.
    pub(super) fn left(&self) -> watch::Receiver<bool> {
        self.left.clone()
    }

    pub(super) fn has_left(&self) -> bool {
        *self.left.borrow()
    }

    /// Ends as a process that is killed: nobody reads its source any more, and nobody closes it.
    pub(super) fn kill(mut self, mortal: impl FnOnce()) {
        mortal();
        self.killed = true;
        self.task.abort();
    }

    /// Gives the replies that were kept, with what `done` says of each partition.
    pub(super) fn release(&self, done: impl Fn(&TopicPartition) -> Option<i64>) {
        let mut state = self.state();
        for (partitions, reply) in std::mem::take(&mut state.held) {
            state.give_up(&partitions);
            let done = |partition: &TopicPartition| Some((partition.clone(), done(partition)?));
            reply.release(partitions.iter().filter_map(done).collect());
        }
    }

    /// How it stands, for a failure's text.
    pub(super) fn summary(&self) -> String {
        let state = self.state();
        let owned: Vec<_> = state.owned.keys().map(|partition| state.told_of(partition)).collect();
        format!(
            "a member with {} records, {} assignments, {} commits answered, {} replies kept, errors {:?}, {}, owning {}",
            state.records.len(),
            state.assignments,
            state.commits.len(),
            state.held.len(),
            state.errors,
            if self.has_left() { "gone" } else { "there" },
            owned.join(" ")
        )
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if self.killed {
            return;
        }
        // What is revoked from now on must not wait for a behaviour that has ended.
        self.state().on_revoke = OnRevoke::Release;
        self.release(|_| None);
        self.control.close();
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
