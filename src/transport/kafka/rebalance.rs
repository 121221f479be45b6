//! The group's callbacks: assignments with the partitions that follow, revokes, commits.
//!
//! All of them run on the member's own thread, inside a poll or the consumer's drop.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::{RDKafkaErrorCode as Code, RDKafkaRespErr};

use super::ends::Ends;
use super::errors::transport_error;
use super::ffi;
use super::log::ClientLog;
use super::offsets::{Kept, list, offset_list, offsets};
use super::outgoing::Outgoing;
use crate::error::ErrorClass;
use crate::transport::{
    Assigned, Follower, Received, RevokeReply, SourceEvent, Subscription, TopicPartition,
    TransportError,
};

/// How long the callback asks for committed offsets, and for those kept elsewhere; after that they
/// come later.
const COMMITTED_WAIT: Duration = Duration::from_secs(5);
/// How long the callback asks for the leaders of the followers' partitions.
const LEADERS_WAIT: Duration = Duration::from_secs(1);
/// How long until partitions whose offsets could not be had are tried again.
const RETRY: Duration = Duration::from_secs(1);

/// The context of a member's consumer.
pub(super) struct Group {
    /// Only the member's own thread asks for it.
    outgoing: Mutex<Outgoing>,
    followers: Vec<Follower>,
    /// Where leaders without a committed offset begin; `Invalid` leaves it to the client.
    start: Offset,
    revoke_wait: Duration,
    kept: Option<Kept>,
    state: Mutex<Waiting>,
    /// How far partitions were read, where somebody wants to hear of their ends.
    ends: Option<Mutex<Ends>>,
    /// Leaders and followers that may be committed.
    owned: Mutex<HashSet<TopicPartition>>,
    commits: AtomicUsize,
    log: ClientLog,
    /// Callbacks that a poll has run, log lines included.
    served: AtomicUsize,
    /// Those of them by which the group said something.
    changed: AtomicUsize,
    /// Whether the client was made to look for the followers' topics.
    known: AtomicBool,
}

/// Partitions of the current assignment, beside the leaders that the client reads.
#[derive(Default)]
struct Waiting {
    /// Followers that it reads.
    followers: Vec<TopicPartition>,
    /// What it does not read yet, for nobody can say from where.
    pending: Vec<TopicPartition>,
    retry_at: Option<Instant>,
}

/// Why partitions are not read yet.
#[derive(Debug, thiserror::Error)]
enum Unknown {
    #[error("no committed offsets: {0}")]
    Committed(#[from] KafkaError),
    #[error("no offsets that the group keeps: {0}")]
    Kept(String),
}

impl Group {
    pub(super) fn new(
        subscription: &Subscription,
        reset: Option<&str>,
        outgoing: Outgoing,
    ) -> Self {
        Self {
            outgoing: Mutex::new(outgoing),
            start: match reset {
                Some("earliest") => Offset::Beginning,
                Some("latest") => Offset::End,
                _ => Offset::Invalid,
            },
            followers: subscription.followers.clone(),
            revoke_wait: subscription.revoke_wait,
            kept: subscription.kept.clone().map(Kept::new),
            state: Mutex::default(),
            ends: subscription.ends.then(Mutex::default),
            owned: Mutex::default(),
            commits: AtomicUsize::new(0),
            log: ClientLog::new("consumer"),
            served: AtomicUsize::new(0),
            changed: AtomicUsize::new(0),
            known: AtomicBool::new(false),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn outgoing(&self) -> std::sync::MutexGuard<'_, Outgoing> {
        self.outgoing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends an event behind the records that were polled before it.
    pub(super) fn send(&self, event: SourceEvent) {
        if let SourceEvent::Assigned(assigned) = &event {
            self.with_ends(|ends| ends.assigned(assigned));
        }
        self.outgoing().send(event);
    }

    /// Adds a record to the batch of its partition.
    pub(super) fn push(&self, record: Received) {
        self.with_ends(|ends| {
            let (topic, partition) = (record.topic.clone(), record.partition);
            ends.read(&TopicPartition { topic, partition }, &record);
        });
        self.outgoing().push(record);
    }

    /// Tells that the client has reached the end of a partition with this number.
    pub(super) fn reached(&self, consumer: &BaseConsumer<Self>, number: i32) {
        let marks = |partition: &TopicPartition| {
            ffi::known_watermarks(consumer.client(), partition.topic.as_str(), number)
        };
        let reached = self.with_ends(|ends| ends.reached(number, marks));
        for partition in reached.into_iter().flatten() {
            self.send(SourceEvent::End(partition));
        }
    }

    fn with_ends<T>(&self, act: impl FnOnce(&mut Ends) -> T) -> Option<T> {
        let ends = self.ends.as_ref()?;
        Some(act(&mut ends.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Sends the batch at hand.
    pub(super) fn flush(&self) {
        self.outgoing().flush();
    }

    pub(super) fn is_deserted(&self) -> bool {
        self.outgoing().is_deserted()
    }

    fn owned(&self) -> std::sync::MutexGuard<'_, HashSet<TopicPartition>> {
        self.owned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn followers_of(&self, leaders: &[TopicPartition]) -> Vec<TopicPartition> {
        let follow = |leader: &TopicPartition| {
            let leader = leader.clone();
            self.followers.iter().filter(move |f| f.leader == leader.topic).map(move |f| {
                TopicPartition { topic: f.topic.clone(), partition: leader.partition }
            })
        };
        leaders.iter().flat_map(follow).collect()
    }

    /// Whether this member has the partition now. A word on another one was meant for an assignment that is over.
    pub(super) fn owns(&self, partition: &TopicPartition) -> bool {
        self.owned().contains(partition)
    }

    /// Commits what is still ours. The broker takes a commit of any partition from any member, so one
    /// that comes after the revoke would move the new owner's offset back.
    pub(super) fn commit_owned(
        &self,
        consumer: &BaseConsumer<Self>,
        offsets: Vec<(TopicPartition, i64)>,
    ) {
        let (ours, lost): (Vec<_>, Vec<_>) = {
            let owned = self.owned();
            offsets.into_iter().partition(|(partition, _)| owned.contains(partition))
        };
        if !lost.is_empty() {
            let result = Err(TransportError {
                what: "a commit came after its partitions were taken from this member".into(),
                class: ErrorClass::Permanent,
                source: None,
            });
            self.send(SourceEvent::Committed { offsets: lost, result });
        }
        if !ours.is_empty() {
            self.commit(consumer, ours);
        }
    }

    fn commit(&self, consumer: &BaseConsumer<Self>, offsets: Vec<(TopicPartition, i64)>) {
        match ffi::commit(consumer.client(), &offset_list(&offsets)) {
            Ok(()) => {
                self.commits.fetch_add(1, Ordering::AcqRel);
            }
            Err(code) => {
                let error = KafkaError::ConsumerCommit(code);
                let result = Err(transport_error("the offsets were not committed", error));
                self.send(SourceEvent::Committed { offsets, result });
            }
        }
    }

    /// How many callbacks polls have run so far.
    pub(super) fn served(&self) -> usize {
        self.served.load(Ordering::Relaxed)
    }

    /// How many changes of the group, or errors, it has heard of so far.
    pub(super) fn changed(&self) -> usize {
        self.changed.load(Ordering::Relaxed)
    }

    fn serve(&self, changes: bool) {
        self.served.fetch_add(1, Ordering::Relaxed);
        self.changed.fetch_add(usize::from(changes), Ordering::Relaxed);
    }

    pub(super) fn commits_open(&self) -> bool {
        self.commits.load(Ordering::Acquire) > 0
    }

    fn assign(&self, consumer: &BaseConsumer<Self>, leaders: &[TopicPartition]) {
        let mut followers = self.followers_of(leaders);
        if !followers.is_empty() && !self.known.swap(true, Ordering::Relaxed) {
            // The subscription does not name the followers' topics, and the client looks for the
            // leaders of such only once a second. Without an answer it finds them that way.
            let _ = ffi::ask_broker(consumer.client(), LEADERS_WAIT);
        }
        let both: Vec<_> = leaders.iter().chain(&followers).cloned().collect();
        // Where nothing follows, and no offsets are kept, the client looks for the leaders' places itself.
        let unasked = followers.is_empty() && self.kept.is_none();
        let (all, assigned) = match self.positions(consumer, &both, unasked) {
            Ok(positions) => {
                let mut all = TopicPartitionList::with_capacity(positions.len());
                // With their places the leaders begin at once: left to the client, their first fetch
                // would wait behind those of the followers, up to twice the fetch wait.
                self.add(&mut all, &positions, unasked);
                (all, positions)
            }
            // Never a guess: what is read from the wrong place would run or lose events.
            Err(unknown) => {
                let error = unknown.to_string();
                tracing::warn!(error, "it is not known yet from where to read");
                if self.kept.is_some() {
                    self.wait_for(both);
                    return self.assigned(
                        consumer,
                        &TopicPartitionList::new(),
                        Vec::new(),
                        Vec::new(),
                    );
                }
                self.wait_for(std::mem::take(&mut followers));
                let assigned = leaders
                    .iter()
                    .map(|partition| Assigned { partition: partition.clone(), committed: None });
                (list(leaders), assigned.collect())
            }
        };
        self.assigned(consumer, &all, assigned, followers);
    }

    /// Notes what cannot be read yet, to be tried again.
    fn wait_for(&self, mut partitions: Vec<TopicPartition>) {
        let mut state = self.state();
        state.pending.append(&mut partitions);
        state.retry_at = Some(Instant::now() + RETRY);
    }

    /// Hands an assignment to the client, and says what became of it.
    fn assigned(
        &self,
        consumer: &BaseConsumer<Self>,
        all: &TopicPartitionList,
        assigned: Vec<Assigned>,
        mut followers: Vec<TopicPartition>,
    ) {
        let result = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(all),
            _ => consumer.assign(all),
        };
        match result {
            Ok(()) => {
                self.owned().extend(assigned.iter().map(|assigned| assigned.partition.clone()));
                self.state().followers.append(&mut followers);
                self.send(SourceEvent::Assigned(assigned));
            }
            Err(error) => self.failed("the assignment was not taken", error),
        }
    }

    /// The committed offsets of these partitions, or those that the group keeps where they are higher,
    /// in their order; where `unasked` none is known.
    fn positions(
        &self,
        consumer: &BaseConsumer<Self>,
        partitions: &[TopicPartition],
        unasked: bool,
    ) -> Result<Vec<Assigned>, Unknown> {
        let mut known = HashMap::new();
        if !unasked {
            let committed = consumer.committed_offsets(list(partitions), COMMITTED_WAIT)?;
            for element in committed.elements() {
                element.error()?;
            }
            known.extend(offsets(&committed));
        }
        let kept = self
            .kept
            .as_ref()
            .map(|kept| kept.offsets(COMMITTED_WAIT))
            .transpose()
            .map_err(Unknown::Kept)?;
        for (partition, offset) in kept.unwrap_or_default() {
            let known = known.entry(partition).or_default();
            *known = (*known).max(Some(offset));
        }
        let assigned = |partition: &TopicPartition| Assigned {
            partition: partition.clone(),
            committed: known.get(partition).copied().flatten(),
        };
        Ok(partitions.iter().map(assigned).collect())
    }

    /// Tries again to assign what nobody could say the offsets of.
    pub(super) fn retry_pending(&self, consumer: &BaseConsumer<Self>) {
        let pending = {
            let mut state = self.state();
            if state.retry_at.is_none_or(|at| Instant::now() < at) {
                return;
            }
            state.retry_at = None;
            std::mem::take(&mut state.pending)
        };
        let assigned = self.positions(consumer, &pending, false).and_then(|positions| {
            match consumer.rebalance_protocol() {
                RebalanceProtocol::Cooperative => {
                    let mut more = TopicPartitionList::new();
                    self.add(&mut more, &positions, false);
                    consumer.incremental_assign(&more)?;
                }
                _ => {
                    // An eager assignment is replaced as a whole: each partition goes on where it is.
                    let mut all = consumer.position()?;
                    self.add(&mut all, &positions, false);
                    consumer.assign(&all)?;
                }
            }
            Ok(positions)
        });
        match assigned {
            Ok(positions) => {
                self.owned().extend(pending.iter().cloned());
                let follow = |partition: &TopicPartition| self.is_follower(partition);
                self.state().followers.extend(pending.into_iter().filter(follow));
                self.send(SourceEvent::Assigned(positions));
            }
            Err(unknown) => {
                self.wait_for(pending);
                self.send(SourceEvent::Error(TransportError {
                    what: "it is still not known from where to read".into(),
                    class: ErrorClass::Retriable,
                    source: Some(unknown.into()),
                }));
            }
        }
    }

    fn revoke(&self, consumer: &BaseConsumer<Self>, leaders: &[TopicPartition]) {
        let followers = self.followers_of(leaders);
        let mut all = leaders.to_vec();
        {
            let mut state = self.state();
            // What is not read yet the client does not have.
            all.retain(|leader| !state.pending.contains(leader));
            state.pending.retain(|p| !followers.contains(p) && !leaders.contains(p));
            let (gone, kept) = std::mem::take(&mut state.followers)
                .into_iter()
                .partition(|p| followers.contains(p));
            state.followers = kept;
            all.extend::<Vec<_>>(gone);
        }
        self.owned().retain(|partition| !all.contains(partition));
        self.with_ends(|ends| ends.revoked(&all));
        let lost = consumer.assignment_lost();
        let (release, answer) = std::sync::mpsc::sync_channel(1);
        // Nobody listens any more where the wait below was over first.
        let reply = RevokeReply::new(move |done| drop(release.send(done)));
        self.send(SourceEvent::Revoked { partitions: all.clone(), lost, reply });
        let done = answer.recv_timeout(self.revoke_wait).unwrap_or_else(|error| {
            if error == RecvTimeoutError::Timeout {
                tracing::warn!(bound = ?self.revoke_wait, "revoked partitions are let go with work unfinished");
            }
            Vec::new()
        });
        if !lost && !done.is_empty() {
            // Not waited for: the commit cannot finish while this callback runs. But librdkafka asks to
            // join again, by which it gives the partitions away, only when no commit is under way, and it
            // sends one again where the coordinator was away (`rd_kafka_assignment_serve`).
            self.commit(consumer, done);
        }
        // librdkafka keeps a pause beyond the assignment: got back, the partition would never be read.
        if let Err(error) = consumer.resume(&list(&all)) {
            self.failed("the pauses of revoked partitions do not end", error);
        }
        let result = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_unassign(&list(&all)),
            _ => consumer.unassign(),
        };
        if let Err(error) = result {
            self.failed("the revoked partitions were not let go", error);
        }
    }

    fn failed(&self, what: &str, error: KafkaError) {
        self.send(SourceEvent::Error(transport_error(what, error)));
    }

    fn is_follower(&self, partition: &TopicPartition) -> bool {
        self.followers.iter().any(|follower| follower.topic == partition.topic)
    }

    /// Without a committed offset a follower is read from its beginning, whatever the main topics do;
    /// where nobody was asked the client looks for them.
    fn add(&self, list: &mut TopicPartitionList, positions: &[Assigned], unasked: bool) {
        for Assigned { partition, committed } in positions {
            let start = match self.is_follower(partition) {
                true => Offset::Beginning,
                false if unasked => Offset::Invalid,
                false => self.start,
            };
            let offset = committed.map_or(start, Offset::Offset);
            list.add_partition_offset(partition.topic.as_str(), partition.partition, offset)
                .expect("an offset from 0 up");
        }
    }
}

impl ClientContext for Group {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.serve(false);
        self.log.line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.serve(true);
        self.log.error(&error, reason);
    }
}

impl ConsumerContext for Group {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        error: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        self.serve(true);
        let leaders: Vec<_> =
            offsets(partitions).into_iter().map(|(partition, _)| partition).collect();
        match error {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assign(consumer, &leaders),
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => self.revoke(consumer, &leaders),
            error => self.failed("the rebalance failed", KafkaError::Rebalance(error.into())),
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, list: &TopicPartitionList) {
        self.serve(true);
        self.commits.fetch_sub(1, Ordering::AcqRel);
        let result = match result {
            Err(error) if error.rdkafka_error_code() == Some(Code::NoOffset) => Ok(()),
            result => result,
        };
        let first = list.elements().iter().find_map(|element| element.error().err());
        let result = result
            .and(first.map_or(Ok(()), Err))
            .map_err(|error| transport_error("the offsets were not committed", error));
        let offsets =
            offsets(list).into_iter().filter_map(|(p, offset)| Some((p, offset?))).collect();
        self.send(SourceEvent::Committed { offsets, result });
    }
}
