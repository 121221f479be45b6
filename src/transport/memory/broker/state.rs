//! What the broker holds, and what each request does to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::Utc;
use tokio::time::Instant;

use super::super::config::{Cleanup, Isolation, TopicConfig};
use super::faults::{Fault, FaultPlan, Faults};
use super::groups::{Group, MemberId, Moves};
use super::log::{Fetched, Log};
use super::partitioner::partition_of;
use super::transactions::{Fenced, Open, TransactionTable};
use super::watch::Operation;
use super::{Lag, MemoryBrokerBuilder};
use crate::clock::{Millis, millis};
use crate::event::TopicName;
use crate::transport::{
    Delivered, Offsets, Received, Record, Subscription, Timestamp, TopicPartition,
};

/// How often compacted topics are cleaned (`log.cleaner.backoff.ms`).
const CLEANED: Duration = Duration::from_secs(15);
/// How often the broker looks for records and offsets that are too old.
const LOOKED: Duration = Duration::from_secs(1);

pub(crate) struct State {
    config: MemoryBrokerBuilder,
    started: Instant,
    base: Millis,
    rng: fastrand::Rng,
    topics: BTreeMap<TopicName, Topic>,
    groups: BTreeMap<String, Group>,
    transactions: TransactionTable,
    faults: Faults,
    /// What each producer's last request stored, by its first sequence number.
    stored: BTreeMap<u64, (u64, Vec<Delivered>)>,
    /// Records in clients' queues, by client.
    queued: BTreeMap<u64, usize>,
    ids: u64,
    cleaned: Instant,
    looked: Instant,
    changed: bool,
    /// What was done since somebody was last told; nothing where nobody watches.
    operations: Vec<Operation>,
    watched: bool,
    hear: Option<Hear>,
}

/// Who is told of each record once readers of committed ones can see it.
pub(super) type Hear = Box<dyn Fn(&Arc<Received>) + Send + Sync>;

struct Topic {
    config: TopicConfig,
    logs: Vec<Log>,
}

/// A record as its producer sends it; its place among the producer's records is its sequence number.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    pub(crate) record: Record,
    pub(crate) partition: i32,
}

/// Why a request was not granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There is no such topic, or no such partition of it.
    NoSuchPartition,
    /// The record is larger than the topic allows.
    TooLarge(usize),
    /// A record of a compacted topic has no key.
    NoKey,
    /// The group does not know the member.
    UnknownMember,
    /// The coordinator says to try again.
    TryAgain(&'static str),
    /// A newer producer has the transactional id.
    Fenced,
}

/// Which transaction a record belongs to.
#[derive(Debug, Clone)]
pub(crate) struct TransactionOf {
    pub(crate) id: String,
    pub(crate) epoch: u64,
    pub(crate) producer: u64,
}

impl From<Fenced> for Refusal {
    fn from(_: Fenced) -> Self {
        Self::Fenced
    }
}

impl State {
    pub(super) fn new(config: MemoryBrokerBuilder, now: Instant) -> Self {
        Self {
            base: config.started_at.unwrap_or_else(|| Utc::now().timestamp_millis()),
            rng: fastrand::Rng::with_seed(config.seed),
            config,
            started: now,
            topics: BTreeMap::new(),
            groups: BTreeMap::new(),
            transactions: TransactionTable::default(),
            faults: Faults::default(),
            stored: BTreeMap::new(),
            queued: BTreeMap::new(),
            ids: 0,
            cleaned: now,
            looked: now,
            changed: false,
            operations: Vec::new(),
            watched: false,
            hear: None,
        }
    }

    /// The broker's time.
    pub(crate) fn millis(&self, now: Instant) -> Millis {
        self.base.saturating_add(millis(now.saturating_duration_since(self.started)))
    }

    /// The same in microseconds, as clocks of clients count.
    pub(crate) fn micros(&self, now: Instant) -> i64 {
        let elapsed = now.saturating_duration_since(self.started).as_micros();
        self.base.saturating_mul(1_000).saturating_add(i64::try_from(elapsed).unwrap_or(i64::MAX))
    }

    pub(crate) fn new_id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    /// A seed for whoever needs chance of its own.
    pub(crate) fn draw(&mut self) -> u64 {
        self.rng.u64(..)
    }

    pub(super) fn hear(&mut self, hear: Hear) {
        self.hear = Some(hear);
    }

    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    pub(super) fn note_operations(&mut self) {
        self.watched = true;
    }

    pub(super) fn take_operations(&mut self) -> Vec<Operation> {
        std::mem::take(&mut self.operations)
    }

    fn note(&mut self, operation: impl FnOnce() -> Operation) {
        if self.watched {
            self.operations.push(operation());
        }
    }

    fn note_left(&mut self, group: &str, member: MemberId, thrown_out: bool) {
        self.note(|| Operation::Left { group: group.to_owned(), member, thrown_out });
    }

    pub(crate) fn latency(&mut self) -> Duration {
        let (least, most) = self.config.latency;
        let spread = u64::try_from((most - least).as_micros()).unwrap_or(u64::MAX);
        least + Duration::from_micros(if spread == 0 { 0 } else { self.rng.u64(0..=spread) })
    }

    /// Lets happen what time brings: planned faults, expired sessions and transactions, cleaning.
    pub(super) fn go_on(&mut self, now: Instant) {
        if self.faults.is_back(now) {
            self.groups.values_mut().for_each(|group| group.forgive(now));
            self.changed = true;
        }
        while let Some(fault) = self.faults.due(now) {
            self.happen(fault, now);
        }
        if self.faults.gone(now).is_some() {
            return;
        }
        for (producer, open) in self.transactions.expire(now) {
            self.close_transaction(producer, &open, false, now);
        }
        if self.faults.coordinator(now).is_none() {
            let mut gone = Vec::new();
            for (name, group) in &mut self.groups {
                gone.extend(group.expire(now).into_iter().map(|member| (name.clone(), member)));
            }
            self.thrown_out(gone);
        }
        if now.saturating_duration_since(self.looked) >= LOOKED {
            self.forget_what_is_old(now);
        }
        if now.saturating_duration_since(self.cleaned) >= CLEANED {
            self.compact(now);
        }
    }

    fn thrown_out(&mut self, gone: Vec<(String, MemberId)>) {
        if gone.is_empty() {
            return;
        }
        gone.iter().for_each(|(group, member)| self.note_left(group, *member, true));
        self.balance();
    }

    fn forget_what_is_old(&mut self, now: Instant) {
        self.looked = now;
        for group in self.groups.values_mut() {
            group.forget(self.config.offsets_retention, now);
        }
        let time = self.millis(now);
        for topic in self.topics.values_mut() {
            if let Cleanup::Delete(retention) = topic.config.cleanup {
                topic.logs.iter_mut().for_each(|log| log.retain(retention, time));
            }
        }
    }

    pub(crate) fn compact(&mut self, now: Instant) {
        self.cleaned = now;
        let time = self.millis(now);
        for topic in self.topics.values_mut() {
            if topic.config.cleanup == Cleanup::Compact {
                topic.logs.iter_mut().for_each(|log| log.compact(time));
            }
        }
    }

    // Faults.

    pub(super) fn plan(&mut self, plan: &FaultPlan, now: Instant) {
        self.faults.plan(plan, now);
        self.changed = true;
    }

    pub(super) fn heal(&mut self, now: Instant) {
        self.faults.heal(now);
        self.changed = true;
    }

    pub(super) fn happen(&mut self, fault: Fault, now: Instant) {
        self.faults.count();
        self.note(|| Operation::Failed(fault));
        self.changed = true;
        tracing::debug!(?fault, "a fault");
        match fault {
            Fault::ProduceTimesOut { .. } | Fault::AcknowledgementLost | Fault::Duplicated => {
                self.faults.produce(fault);
            }
            Fault::BrokerGone(lasts) => self.faults.broker_goes(now, lasts),
            Fault::Isolated { client, lasts } => {
                let clients: Vec<_> = self.queued.keys().copied().collect();
                if !clients.is_empty() {
                    self.faults.isolate(clients[client % clients.len()], now, lasts);
                }
            }
            Fault::Rebalance => {
                for group in self.groups.values_mut() {
                    group.disturb(&mut self.rng);
                }
            }
            Fault::SessionExpired => {
                let mut gone = Vec::new();
                for (name, group) in &mut self.groups {
                    if let Some(member) = self.rng.choice(group.members()) {
                        group.leave(member, now);
                        gone.push((name.clone(), member));
                    }
                }
                self.thrown_out(gone);
            }
            Fault::CommitRefused => self.faults.refuse_commit(),
            Fault::CoordinatorMoved(lasts) => self.faults.coordinator_moves(now + lasts),
            Fault::SlowFetch(by) => self.faults.slow_down(now, by),
        }
    }

    pub(super) fn faults_happened(&self) -> usize {
        self.faults.happened()
    }

    /// Since when a client cannot reach the broker, and when to try again.
    pub(crate) fn unreachable(&self, client: u64, now: Instant) -> Option<(Instant, Instant)> {
        self.faults.gone(now).or(self.faults.isolated(client, now))
    }

    pub(crate) fn next_produce_fault(&mut self) -> Option<Fault> {
        self.faults.next_produce()
    }

    pub(crate) fn slowness(&self, now: Instant) -> Duration {
        self.faults.slowness(now)
    }

    // Clients.

    pub(crate) fn enter(&mut self) -> u64 {
        let client = self.new_id();
        self.queued.insert(client, 0);
        client
    }

    pub(crate) fn leave(&mut self, client: u64) {
        self.queued.remove(&client);
        self.changed = true;
    }

    pub(crate) fn set_queued(&mut self, client: u64, records: usize) {
        if let Some(queued) = self.queued.get_mut(&client) {
            self.changed |= records == 0 && *queued > 0;
            *queued = records;
        }
    }

    pub(super) fn queued(&self) -> usize {
        self.queued.values().sum()
    }

    // Topics.

    pub(crate) fn create_topic(&mut self, name: TopicName, config: TopicConfig) {
        let count = usize::try_from(config.partitions.max(1)).unwrap_or(1);
        self.topics.entry(name).or_insert_with(|| Topic {
            config,
            logs: std::iter::repeat_with(Log::default).take(count).collect(),
        });
        self.balance();
    }

    pub(super) fn add_partitions(&mut self, topic: &TopicName, partitions: i32) {
        if let Some(topic) = self.topics.get_mut(topic) {
            let count = usize::try_from(partitions).unwrap_or_default().max(topic.logs.len());
            topic.logs.resize_with(count, Log::default);
            self.balance();
        }
    }

    pub(super) fn topics(&self) -> Vec<(TopicName, i32)> {
        self.topics.keys().map(|name| (name.clone(), self.partitions(name))).collect()
    }

    pub(crate) fn topic_config(&self, topic: &TopicName) -> Option<TopicConfig> {
        let found = self.topics.get(topic)?;
        Some(TopicConfig { partitions: self.partitions(topic), ..found.config.clone() })
    }

    /// The settings of a topic that is made without any.
    pub(crate) fn defaults(&self) -> TopicConfig {
        self.config.topics.clone()
    }

    /// Makes those of these topics that are not there, if that is set: alike, so that retry topics
    /// have as many partitions as the main topic that is looked for with them.
    pub(crate) fn look_for(&mut self, topics: &[TopicName]) {
        if !self.config.create_when_asked {
            return;
        }
        let mut config = self.defaults();
        let there = topics.iter().map(|topic| self.partitions(topic)).max().unwrap_or_default();
        config.partitions = config.partitions.max(there);
        for topic in topics {
            self.create_topic(topic.clone(), config.clone());
        }
    }

    fn partitions(&self, topic: &TopicName) -> i32 {
        count_in(&self.topics, topic)
    }

    fn log(&mut self, tp: &TopicPartition) -> Option<&mut Log> {
        let index = usize::try_from(tp.partition).ok()?;
        self.topics.get_mut(&tp.topic)?.logs.get_mut(index)
    }

    pub(super) fn ends(&self, topic: &TopicName) -> Vec<(i32, i64)> {
        let logs = self.topics.get(topic).into_iter().flat_map(|topic| &topic.logs);
        (0..).zip(logs.map(Log::end)).collect()
    }

    pub(super) fn records(&self, topic: &TopicName) -> Vec<Received> {
        let logs = self.topics.get(topic).into_iter().flat_map(|topic| &topic.logs);
        logs.flat_map(|log| log.records().map(|record| (**record).clone())).collect()
    }

    // Producing.

    /// Which partition a record goes to; the topic is made where that is allowed.
    pub(crate) fn place(&mut self, record: &Record) -> Result<i32, Refusal> {
        if !self.topics.contains_key(&record.topic) && self.config.auto_create {
            self.create_topic(record.topic.clone(), self.defaults());
        }
        let topic = self.topics.get(&record.topic).ok_or(Refusal::NoSuchPartition)?;
        if size(record) > topic.config.max_record {
            return Err(Refusal::TooLarge(topic.config.max_record));
        }
        if topic.config.cleanup == Cleanup::Compact && record.key.is_none() {
            return Err(Refusal::NoKey);
        }
        let count = self.partitions(&record.topic);
        match (record.partition, &record.key) {
            (Some(partition), _) if (0..count).contains(&partition) => Ok(partition),
            (Some(_), _) => Err(Refusal::NoSuchPartition),
            (None, Some(key)) => Ok(partition_of(key, count)),
            (None, None) => Ok(self.rng.i32(0..count)),
        }
    }

    /// Stores the records of one request, in order. One that is sent again is known by the sequence
    /// number of its first record.
    pub(crate) fn produce(
        &mut self,
        client: u64,
        (producer, sequence): (u64, u64),
        records: &[Pending],
        transaction: Option<&TransactionOf>,
        now: Instant,
    ) -> Result<Vec<Delivered>, Refusal> {
        if let Some((last, delivered)) = self.stored.get(&producer)
            && *last == sequence
        {
            return Ok(delivered.clone());
        }
        if let Some(transaction) = transaction {
            let open = self.transactions.open(&transaction.id, transaction.epoch)?;
            open.partitions.extend(records.iter().map(Pending::place));
        }
        let delivered: Vec<_> =
            records.iter().map(|pending| self.append(client, pending, transaction, now)).collect();
        self.stored.insert(producer, (sequence, delivered.clone()));
        self.changed = true;
        Ok(delivered)
    }

    /// Stores records once more, as they came.
    pub(crate) fn duplicate(&mut self, client: u64, records: &[Pending], now: Instant) {
        for pending in records {
            self.append(client, pending, None, now);
            if let Some(Operation::Appended { doubled, .. }) = self.operations.last_mut() {
                *doubled = true;
            }
        }
    }

    fn append(
        &mut self,
        client: u64,
        pending: &Pending,
        transaction: Option<&TransactionOf>,
        now: Instant,
    ) -> Delivered {
        let time = self.millis(now);
        let place = pending.place();
        let append_time =
            self.topics.get(&place.topic).is_some_and(|topic| topic.config.append_time);
        let record = pending.record.clone();
        let timestamp = match append_time {
            true => Timestamp::Appended(time),
            false => Timestamp::Created(record.timestamp.unwrap_or(time)),
        };
        let log = self.log(&place).expect("the partition was chosen among those of its topic");
        let stored = log.append(time, transaction.map(|of| of.producer), |offset| Received {
            topic: record.topic,
            partition: place.partition,
            offset,
            timestamp: Some(timestamp),
            key: record.key.as_ref().map(copied),
            payload: record.payload.as_ref().map(copied),
            headers: record.headers,
        });
        if let (Some(hear), None) = (&self.hear, transaction) {
            hear(&stored);
        }
        let (offset, appended_at) = (stored.offset, append_time.then_some(time));
        self.note(|| Operation::Appended { client, record: stored, doubled: false });
        Delivered { partition: place.partition, offset, appended_at }
    }

    // Groups.

    fn group(&mut self, group: &str) -> &mut Group {
        self.groups.entry(group.to_owned()).or_default()
    }

    /// Groups are not answered while their coordinator moves.
    fn coordinated(&self, now: Instant) -> Result<(), Refusal> {
        match self.faults.coordinator(now) {
            Some(_) => Err(Refusal::TryAgain("the group coordinator is moving")),
            None => Ok(()),
        }
    }

    fn balance(&mut self) {
        let Self { groups, topics, .. } = self;
        for group in groups.values_mut() {
            group.balance(&|topic: &TopicName| count_in(topics, topic));
        }
        self.changed = true;
    }

    /// A source is going to join; answers what it is called.
    pub(crate) fn expect(&mut self, subscription: &Subscription) -> u64 {
        let source = self.new_id();
        let Subscription { group, topics, followers, .. } = subscription;
        self.group(group).expect(source, topics, followers);
        source
    }

    pub(crate) fn join(
        &mut self,
        client: u64,
        subscription: &Subscription,
        session: Duration,
        now: Instant,
    ) -> Result<MemberId, Refusal> {
        self.coordinated(now)?;
        let id = self.new_id();
        let Subscription { group, topics, followers, .. } = subscription;
        self.group(group).join(id, topics, followers, session, now);
        self.note(|| Operation::Joined { group: group.clone(), member: id, client });
        self.balance();
        Ok(id)
    }

    /// A source has ended in order; its member, if it has one, leaves.
    pub(crate) fn leave_group(
        &mut self,
        group: &str,
        source: u64,
        member: Option<MemberId>,
        now: Instant,
    ) {
        let left = self.group(group);
        left.miss_no_more(source);
        if let Some(member) = member {
            left.leave(member, now);
            self.note_left(group, member, false);
        }
        self.balance();
    }

    /// Counts what may have moved partitions of a group.
    pub(crate) fn moved(&self, group: &str) -> u64 {
        self.groups.get(group).map_or(0, Group::moved)
    }

    /// Says that a member lives; answers what it is to give up and to take: nothing any more, once it
    /// is about to leave.
    pub(crate) fn heartbeat(
        &mut self,
        group: &str,
        member: MemberId,
        now: Instant,
    ) -> Result<Moves, Refusal> {
        self.lives(group, member, now)?;
        let Self { groups, topics, .. } = self;
        let group_state = groups.get_mut(group).ok_or(Refusal::UnknownMember)?;
        let moves = group_state.moves(member, &|topic: &TopicName| count_in(topics, topic));
        if !moves.assign.is_empty() {
            self.note(|| Operation::Assigned {
                group: group.to_owned(),
                member,
                partitions: moves.assign.clone(),
            });
        }
        Ok(moves)
    }

    /// Says that a member lives, and takes nothing.
    pub(crate) fn lives(
        &mut self,
        group: &str,
        member: MemberId,
        now: Instant,
    ) -> Result<(), Refusal> {
        self.coordinated(now)?;
        let group = self.groups.get_mut(group).ok_or(Refusal::UnknownMember)?;
        group.heartbeat(member, now).map_err(|_| Refusal::UnknownMember)
    }

    pub(crate) fn release(&mut self, group: &str, member: MemberId, gone: &[TopicPartition]) {
        self.group(group).release(member, gone);
        self.note(|| Operation::Released {
            group: group.to_owned(),
            member,
            partitions: gone.to_vec(),
        });
        self.balance();
    }

    pub(crate) fn commit(
        &mut self,
        group: &str,
        member: MemberId,
        offsets: &Offsets,
        now: Instant,
    ) -> Result<(), Refusal> {
        let answer = self.try_commit(group, member, offsets, now);
        self.note(|| Operation::Committed {
            group: group.to_owned(),
            member,
            offsets: offsets.clone(),
            refused: answer.as_ref().err().map(ToString::to_string),
        });
        answer
    }

    fn try_commit(
        &mut self,
        group: &str,
        member: MemberId,
        offsets: &Offsets,
        now: Instant,
    ) -> Result<(), Refusal> {
        self.coordinated(now)?;
        if self.faults.commit_is_refused() {
            return Err(Refusal::TryAgain("the group is rebalancing"));
        }
        let group = self.group(group);
        if !group.knows(member) {
            return Err(Refusal::UnknownMember);
        }
        group.commit(offsets, now);
        self.changed = true;
        Ok(())
    }

    pub(crate) fn committed(&mut self, group: &str, tp: &TopicPartition) -> Option<i64> {
        self.groups.get(group)?.committed(tp)
    }

    /// Notes where a group begins a partition, for what it has to read yet.
    pub(crate) fn begin(&mut self, group: &str, tp: &TopicPartition, offset: i64) {
        self.group(group).begin(tp.clone(), offset);
    }

    /// First and next offset of a partition.
    pub(crate) fn bounds(&mut self, tp: &TopicPartition) -> (i64, i64) {
        self.log(tp).map_or((0, 0), |log| (log.start(), log.end()))
    }

    pub(crate) fn fetch(
        &mut self,
        tp: &TopicPartition,
        from: i64,
        most: usize,
        isolation: Isolation,
    ) -> Fetched {
        let nothing = Fetched::Records(Vec::new(), from);
        self.log(tp).map_or(nothing, |log| log.fetch(from, most, isolation))
    }

    pub(super) fn lag(&mut self, isolation: Isolation) -> Vec<Lag> {
        let Self { groups, topics, .. } = self;
        let mut lags = Vec::new();
        for (name, group) in groups {
            for (partition, from) in group.places(&|topic: &TopicName| count_in(topics, topic)) {
                let index = usize::try_from(partition.partition).unwrap_or_default();
                let log = topics.get(&partition.topic).and_then(|topic| topic.logs.get(index));
                let records = log.map_or(0, |log| log.unread(from, isolation));
                if records > 0 {
                    let (group, reader) = (name.clone(), group.reader(&partition));
                    lags.push(Lag { group, partition, from, records, reader });
                }
            }
        }
        lags
    }

    pub(crate) fn pause(&mut self, group: &str, tp: &TopicPartition, paused: bool) {
        self.group(group).pause(tp.clone(), paused);
        self.changed = true;
    }

    // Transactions.

    pub(crate) fn take_over(&mut self, id: &str, producer: u64, now: Instant) -> u64 {
        let (epoch, left) = self.transactions.take_over(id, producer);
        if let Some((producer, open)) = left {
            self.close_transaction(producer, &open, false, now);
        }
        epoch
    }

    pub(crate) fn begin_transaction(
        &mut self,
        of: &TransactionOf,
        now: Instant,
    ) -> Result<(), Refusal> {
        Ok(self.transactions.begin(&of.id, of.epoch, now)?)
    }

    pub(crate) fn add_offsets(
        &mut self,
        of: &TransactionOf,
        group: &str,
        member: MemberId,
        offsets: Offsets,
    ) -> Result<(), Refusal> {
        let open = self.transactions.open(&of.id, of.epoch)?;
        if !self.groups.get(group).is_some_and(|group| group.knows(member)) {
            return Err(Refusal::UnknownMember);
        }
        open.offsets.push((group.to_owned(), member, offsets));
        Ok(())
    }

    pub(crate) fn end_transaction(
        &mut self,
        of: &TransactionOf,
        committed: bool,
        now: Instant,
    ) -> Result<(), Refusal> {
        let open = self.transactions.end(&of.id, of.epoch)?;
        self.close_transaction(of.producer, &open, committed, now);
        Ok(())
    }

    fn close_transaction(&mut self, producer: u64, open: &Open, committed: bool, now: Instant) {
        let time = self.millis(now);
        for tp in &open.partitions {
            let ended = self.log(tp).map(|log| log.end_transaction(producer, committed, time));
            if let Some(hear) = &self.hear {
                ended.into_iter().flatten().for_each(|record| hear(&record));
            }
        }
        if committed {
            for (group, member, offsets) in &open.offsets {
                self.group(group).commit(offsets, now);
                self.note(|| Operation::Committed {
                    group: group.clone(),
                    member: *member,
                    offsets: offsets.clone(),
                    refused: None,
                });
            }
        }
        self.changed = true;
    }
}

impl Pending {
    fn place(&self) -> TopicPartition {
        TopicPartition { topic: self.record.topic.clone(), partition: self.partition }
    }
}

fn count_in(topics: &BTreeMap<TopicName, Topic>, topic: &TopicName) -> i32 {
    let count = topics.get(topic).map_or(0, |topic| topic.logs.len());
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn size(record: &Record) -> usize {
    let length = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
    length(&record.key) + length(&record.payload) + record.headers.size()
}

/// A broker keeps bytes of its own.
fn copied(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}
