//! What the broker holds, and what each request does to it.

mod groups;
mod produce;
mod topics;
mod transactions;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use tokio::time::Instant;

use super::super::config::{Cleanup, TopicConfig};
use super::faults::{Fault, FaultPlan, Faults};
use super::groups::{Group, MemberId};
use super::log::Log;
use super::transactions::{Fenced, TransactionTable};
use super::watch::{Operation, Watcher};
use super::{Lag, MemoryBrokerBuilder};
use crate::clock::{BrokerClock, Millis, millis};
use crate::event::TopicName;
use crate::transport::{Delivered, Record};

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
    /// How many topics were made.
    topic_ids: u64,
    groups: BTreeMap<String, Group>,
    transactions: TransactionTable,
    faults: Faults,
    /// What each producer's last request stored, by its first sequence number.
    stored: BTreeMap<u64, (u64, Vec<Delivered>)>,
    /// The clients that are alive, with what they think the time is.
    clients: BTreeMap<u64, BrokerClock>,
    /// Records in clients' queues, by producer.
    queued: BTreeMap<u64, usize>,
    ids: u64,
    cleaned: Instant,
    looked: Instant,
    changed: bool,
    /// What was done since they were last told; nothing where nobody watches.
    operations: Vec<Operation>,
    watchers: Vec<Arc<dyn Watcher>>,
}

struct Topic {
    id: u64,
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
    /// There is no such topic.
    NoSuchTopic,
    /// The topic has no such partition.
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
    /// The client was killed.
    Killed,
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
            topic_ids: 0,
            groups: BTreeMap::new(),
            transactions: TransactionTable::default(),
            faults: Faults::default(),
            stored: BTreeMap::new(),
            clients: BTreeMap::new(),
            queued: BTreeMap::new(),
            ids: 0,
            cleaned: now,
            looked: now,
            changed: false,
            operations: Vec::new(),
            watchers: Vec::new(),
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

    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    pub(super) fn watch(&mut self, watcher: Arc<dyn Watcher>) {
        self.watchers.push(watcher);
    }

    pub(crate) fn watchers(&self) -> Vec<Arc<dyn Watcher>> {
        self.watchers.clone()
    }

    /// Tells what was done since the last time.
    pub(super) fn tell(&mut self) {
        for operation in self.operations.drain(..) {
            self.watchers.iter().for_each(|watcher| watcher.did(&operation));
        }
    }

    fn note(&mut self, operation: impl FnOnce() -> Operation) {
        if !self.watchers.is_empty() {
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
                let clients: Vec<_> = self.clients.keys().copied().collect();
                if !clients.is_empty() {
                    self.faults.isolate(clients[client % clients.len()], now, lasts);
                }
            }
            Fault::ClockSteps { client, by } => {
                let clients: Vec<_> = self.clients.values().collect();
                if !clients.is_empty() {
                    clients[client % clients.len()].step(by);
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

    /// A new client, whose clock is so far ahead.
    pub(crate) fn enter(&mut self, ahead: Millis, now: Instant) -> (u64, BrokerClock) {
        let client = self.new_id();
        let time = self.micros(now).saturating_add(ahead.saturating_mul(1_000));
        let clock = BrokerClock::starting_at(time);
        self.clients.insert(client, clock.clone());
        (client, clock)
    }

    pub(crate) fn leave(&mut self, client: u64) {
        self.clients.remove(&client);
    }

    /// A producer is no more: nothing is queued by it.
    pub(crate) fn forget_queue(&mut self, producer: u64) {
        self.changed |= self.queued.remove(&producer).is_some();
    }

    pub(crate) fn set_queued(&mut self, producer: u64, records: usize) {
        let before = self.queued.insert(producer, records);
        self.changed |= records == 0 && before.is_some_and(|before| before > 0);
    }

    pub(super) fn queued(&self) -> usize {
        self.queued.values().sum()
    }
}

fn count_in(topics: &BTreeMap<TopicName, Topic>, topic: &TopicName) -> i32 {
    let count = topics.get(topic).map_or(0, |topic| topic.logs.len());
    i32::try_from(count).unwrap_or(i32::MAX)
}
