//! A broker made of queues, for consumers that run under a paused clock: what it is asked, it notes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use super::super::{Consumer, ConsumerBuilder, TopicSetup};
use crate::clock::{BrokerClock, Millis};
use crate::error::ErrorClass;
use crate::event::{EventId, Headers, IntegrationEvent, Source as ServiceName, TopicName};
use crate::retry::{Chance, RetryPolicy, UnknownType};
use crate::topic::TopicNaming;
use crate::transport::{
    Admin, Assigned, ConsumerDefaults, Delivered, NewTopic, Offsets, ProduceError, Producer,
    Receipt, Received, Record, RecordBatch, RevokeReply, Source, SourceControl, SourceEvent,
    Subscription, Timestamp, TopicDescription, TopicPartition, Transport, TransportError,
    Unreachable,
};

pub(super) const MAIN: TopicName = TopicName::from_static("noted");

/// The event of these tests; its record is plain JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Noted {
    pub(super) key: String,
    pub(super) n: u32,
}

impl IntegrationEvent for Noted {
    const NAME: &'static str = "noted";

    fn topics() -> Vec<TopicName> {
        vec![MAIN]
    }

    fn topic(&self) -> TopicName {
        MAIN
    }
}

type Refuse<T, E> = Box<dyn FnMut(&T) -> Option<E> + Send>;

#[derive(Clone)]
pub(super) struct Stage(Arc<Inner>);

struct Inner {
    service: ServiceName,
    clock: BrokerClock,
    began: Millis,
    seed: u64,
    prefetch: usize,
    state: Mutex<State>,
    refuse_record: Mutex<Refuse<Record, ProduceError>>,
    refuse_commit: Mutex<Refuse<Offsets, ErrorClass>>,
}

#[derive(Default)]
struct State {
    said: Vec<String>,
    logs: BTreeMap<TopicPartition, Vec<Received>>,
    committed: BTreeMap<TopicPartition, i64>,
    members: Vec<Option<mpsc::Sender<SourceEvent>>>,
    /// Whose a partition is, and what of it was sent there.
    owners: BTreeMap<TopicPartition, (usize, usize)>,
}

impl Stage {
    pub(super) fn new(seed: u64, prefetch: usize) -> Self {
        let clock = BrokerClock::new();
        Self(Arc::new(Inner {
            service: ServiceName::new("stage").unwrap(),
            began: clock.now(),
            clock,
            seed,
            prefetch,
            state: Mutex::default(),
            refuse_record: Mutex::new(Box::new(|_| None)),
            refuse_commit: Mutex::new(Box::new(|_| None)),
        }))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    /// Milliseconds since it was made.
    pub(super) fn now(&self) -> Millis {
        self.0.clock.now() - self.0.began
    }

    pub(super) fn note(&self, what: impl std::fmt::Display) {
        let line = format!("{} {what}", self.now());
        self.state().said.push(line);
    }

    /// Everything that was noted, each with its time.
    pub(super) fn said(&self) -> Vec<String> {
        self.state().said.clone()
    }

    /// From now on records that this names an error for are refused.
    pub(super) fn refuse_records(
        &self,
        refuse: impl FnMut(&Record) -> Option<ProduceError> + Send + 'static,
    ) {
        *self.0.refuse_record.lock().unwrap() = Box::new(refuse);
    }

    /// From now on commits that this names an error for are refused.
    pub(super) fn refuse_commits(
        &self,
        refuse: impl FnMut(&Offsets) -> Option<ErrorClass> + Send + 'static,
    ) {
        *self.0.refuse_commit.lock().unwrap() = Box::new(refuse);
    }

    pub(super) fn committed(&self, partition: i32) -> i64 {
        self.state().committed.get(&at(&MAIN, partition)).copied().unwrap_or(0)
    }

    /// What lies on a topic, over all partitions.
    pub(super) fn lies_on(&self, topic: &str) -> Vec<Received> {
        let state = self.state();
        let logs = state.logs.iter().filter(|(partition, _)| partition.topic.as_str() == topic);
        logs.flat_map(|(_, records)| records.clone()).collect()
    }

    /// Puts events on partitions of the main topic.
    pub(super) fn put(&self, events: impl IntoIterator<Item = (i32, &'static str, u32)>) {
        for (partition, key, n) in events {
            let payload = serde_json::to_vec(&Noted { key: key.into(), n }).unwrap();
            let record = Record {
                topic: MAIN,
                partition: Some(partition),
                key: (!key.is_empty()).then(|| Bytes::from_static(key.as_bytes())),
                payload: Some(payload.into()),
                headers: Headers::default(),
                timestamp: None,
            };
            self.append(&record);
        }
        self.deliver();
    }

    /// Puts a record on its topic.
    pub(super) fn append(&self, record: &Record) -> Delivered {
        let now = self.0.clock.now();
        let partition = at(&record.topic, record.partition.unwrap_or(0));
        let mut state = self.state();
        let log = state.logs.entry(partition.clone()).or_default();
        let offset = log.len() as i64;
        log.push(Received {
            topic: partition.topic,
            partition: partition.partition,
            offset,
            timestamp: Some(Timestamp::Appended(now)),
            key: record.key.clone(),
            payload: record.payload.clone(),
            headers: record.headers.clone(),
        });
        Delivered { partition: partition.partition, offset, appended_at: Some(now) }
    }

    /// Sends members what lies on their partitions and was not sent yet.
    pub(super) fn deliver(&self) {
        let mut state = self.state();
        let State { logs, owners, members, .. } = &mut *state;
        for (partition, (owner, sent)) in owners {
            let log = logs.get(partition).map(Vec::as_slice).unwrap_or_default();
            let records = log[(*sent).min(log.len())..].to_vec();
            *sent += records.len();
            if let (false, Some(member)) = (records.is_empty(), &members[*owner]) {
                let batch = RecordBatch { partition: partition.clone(), records };
                // Fails where the member is gone.
                let _ = member.try_send(SourceEvent::Records(batch));
            }
        }
    }

    /// Gives partitions of the main topic, and those of its tiers, to a member.
    pub(super) fn assign(&self, member: usize, partitions: impl IntoIterator<Item = i32>) {
        let mut assigned = Vec::new();
        let mut state = self.state();
        for partition in partitions {
            for topic in [MAIN, TopicName::from_static("noted.retry.1s")] {
                let partition = at(&topic, partition);
                let committed = state.committed.get(&partition).copied();
                let from = usize::try_from(committed.unwrap_or(0)).unwrap();
                state.owners.insert(partition.clone(), (member, from));
                assigned.push(Assigned { partition, committed });
            }
        }
        let event = SourceEvent::Assigned(assigned);
        state.members[member].as_ref().unwrap().try_send(event).unwrap();
        drop(state);
        self.deliver();
    }

    /// Takes partitions of the main topic and its tiers from their member, and commits what it says.
    pub(super) async fn revoke(&self, member: usize, partitions: impl IntoIterator<Item = i32>) {
        let (release, answer) = oneshot::channel();
        let reply = RevokeReply::new(move |offsets| drop(release.send(offsets)));
        let revoked: Vec<_> = partitions
            .into_iter()
            .flat_map(|p| [at(&MAIN, p), at(&TopicName::from_static("noted.retry.1s"), p)])
            .collect();
        let sender = {
            let mut state = self.state();
            state.owners.retain(|partition, _| !revoked.contains(partition));
            state.members[member].clone().unwrap()
        };
        self.note(format_args!("revoke {revoked:?}"));
        let event = SourceEvent::Revoked { partitions: revoked, lost: false, reply };
        sender.try_send(event).unwrap();
        // Dropping the reply answers that nothing is done.
        let offsets = answer.await.unwrap_or_default();
        self.note(format_args!("released {offsets:?}"));
        self.state().committed.extend(offsets);
    }
}

/// A consumer of these events with one tier of a second, and nothing in place.
pub(super) fn consumer() -> ConsumerBuilder {
    Consumer::builder("stage")
        .retry(RetryPolicy::tiers([Duration::from_secs(1)]).immediate(0))
        .topics(TopicSetup::Off)
}

pub(super) fn at(topic: &TopicName, partition: i32) -> TopicPartition {
    TopicPartition { topic: topic.clone(), partition }
}

impl Transport for Stage {
    fn service(&self) -> &ServiceName {
        &self.0.service
    }

    fn system(&self) -> &'static str {
        "stage"
    }

    fn producer(&self) -> Arc<dyn Producer> {
        Arc::new(self.clone())
    }

    fn admin(&self) -> Arc<dyn Admin> {
        Arc::new(self.clone())
    }

    fn subscribe(&self, _: Subscription) -> Result<Source, TransportError> {
        let (sender, events) = mpsc::channel(100_000);
        let mut state = self.state();
        let member = state.members.len();
        state.members.push(Some(sender));
        Ok(Source { events, control: Arc::new(Control { stage: self.clone(), member }) })
    }

    fn clock(&self) -> &BrokerClock {
        &self.0.clock
    }

    fn chance(&self) -> Chance {
        Chance::seeded(self.0.seed)
    }

    fn consumer_defaults(&self) -> ConsumerDefaults {
        ConsumerDefaults {
            group: None,
            static_member: false,
            retry: RetryPolicy::default(),
            naming: TopicNaming::default(),
            unknown: UnknownType::DeadLetter,
            prefetch: self.0.prefetch,
            commit_every_events: 50,
            commit_every: Duration::from_secs(1),
        }
    }
}

#[async_trait]
impl Producer for Stage {
    fn enqueue(&self, record: &Record, receipt: Receipt) -> Result<(), Receipt> {
        let refused = (self.0.refuse_record.lock().unwrap())(record);
        let outcome = match refused {
            Some(error) => Err(error),
            None => Ok(self.append(record)),
        };
        let said = if outcome.is_ok() { "produced" } else { "refused" };
        self.note(format_args!("{said} {} {:?}", record.topic, record.partition));
        receipt.settle(outcome);
        self.deliver();
        Ok(())
    }

    async fn room(&self) {}

    fn send_wait(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn delivery_wait(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn reachable(&self) -> Result<(), Unreachable> {
        Ok(())
    }

    async fn close(&self, _: Duration) -> Vec<EventId> {
        Vec::new()
    }
}

#[async_trait]
impl Admin for Stage {
    async fn describe(
        &self,
        topics: &[TopicName],
        _: Duration,
    ) -> Result<Vec<Option<TopicDescription>>, TransportError> {
        Ok(vec![None; topics.len()])
    }

    async fn create(&self, _: &[NewTopic], _: Duration) -> Result<(), TransportError> {
        Ok(())
    }

    async fn topics(&self, _: Duration) -> Result<Vec<TopicName>, TransportError> {
        Ok(Vec::new())
    }

    async fn brokers(&self, _: Duration) -> Result<Option<i32>, TransportError> {
        Ok(None)
    }
}

struct Control {
    stage: Stage,
    member: usize,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "member {}", self.member)
    }
}

impl SourceControl for Control {
    fn pause(&self, partitions: Vec<TopicPartition>) {
        self.stage.note(format_args!("{self:?} pauses {partitions:?}"));
    }

    fn resume(&self, partitions: Vec<TopicPartition>) {
        self.stage.note(format_args!("{self:?} resumes {partitions:?}"));
    }

    fn seek(&self, offsets: Offsets) {
        self.stage.note(format_args!("{self:?} seeks {offsets:?}"));
    }

    fn commit(&self, offsets: Offsets) {
        let refused = (self.stage.0.refuse_commit.lock().unwrap())(&offsets);
        let said = if refused.is_some() { "is refused" } else { "commits" };
        self.stage.note(format_args!("{self:?} {said} {offsets:?}"));
        let mut state = self.stage.state();
        let result = match refused {
            None => {
                state.committed.extend(offsets.iter().cloned());
                Ok(())
            }
            Some(class) => {
                Err(TransportError { what: "the test refuses it".into(), class, source: None })
            }
        };
        if let Some(member) = &state.members[self.member] {
            let _ = member.try_send(SourceEvent::Committed { offsets, result });
        }
    }

    fn close(&self) {
        self.stage.note(format_args!("{self:?} leaves"));
        self.stage.state().members[self.member] = None;
    }

    fn polled(&self) -> Duration {
        Duration::ZERO
    }
}
