//! One run of one behaviour: names, clients and topics of its own, and how it waits.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::behaviour::{Failure, Verdict, shown};
use super::member::{Join, Member};
use super::{ClientSpec, Limits, Mortal, Start, Subject};
use crate::event::{EventId, Headers, TopicName};
use crate::transport::{
    Delivered, NewTopic, ProduceError, Receipt, Received, Record, SourceControl, TopicDescription,
    TopicPartition, Transport,
};

/// Conditions that nobody announces are looked at again after this.
const LOOK: Duration = Duration::from_millis(20);
/// How long the end of a trial waits for its members to leave.
const LEAVE: Duration = Duration::from_secs(5);
/// Marks the records that say how far a topic is read.
const END: &str = "x-conformance-end";

pub(super) type Client = Arc<dyn Transport>;

/// What a record's sender hears of it.
pub(super) type Answer = oneshot::Receiver<Result<Delivered, ProduceError>>;

/// What closes a member, and says when it has left.
type Closing = (Arc<dyn SourceControl>, watch::Receiver<bool>);

pub(super) struct Trial {
    subject: Arc<dyn Subject>,
    limits: Limits,
    prefix: String,
    names: AtomicUsize,
    changes: Arc<watch::Sender<u64>>,
    clients: Mutex<Vec<Client>>,
    members: Mutex<Vec<Closing>>,
}

impl Trial {
    pub(super) fn new(subject: Arc<dyn Subject>, limits: Limits, prefix: String) -> Self {
        Self {
            subject,
            limits,
            prefix,
            names: AtomicUsize::new(0),
            changes: Arc::new(watch::Sender::new(0)),
            clients: Mutex::default(),
            members: Mutex::default(),
        }
    }

    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    /// What tells [`until`](Self::until) that it is worth another look.
    pub(super) fn changes(&self) -> Arc<watch::Sender<u64>> {
        self.changes.clone()
    }

    pub(super) fn client(&self) -> Verdict<Client> {
        self.client_as(&ClientSpec::new("conformance"))
    }

    /// A client whose groups begin with what comes from then on.
    pub(super) fn client_at_latest(&self) -> Verdict<Client> {
        let spec = ClientSpec::new("conformance");
        self.client_as(&ClientSpec { start: Start::Latest, ..spec })
    }

    pub(super) fn client_as(&self, spec: &ClientSpec) -> Verdict<Client> {
        let client = self.subject.client(spec);
        let client = client.map_err(|error| Failure::new(format!("no client: {error}")))?;
        lock(&self.clients).push(client.clone());
        Ok(client)
    }

    pub(super) fn mortal(&self) -> Verdict<Mortal> {
        let mortal = self.subject.mortal(&ClientSpec::new("conformance"));
        let mortal = mortal.map_err(|error| Failure::new(format!("no client: {error}")))?;
        mortal.ok_or_else(|| Failure::new("the subject has no client that can be killed"))
    }

    /// A name that nothing else has.
    pub(super) fn name(&self, what: &str) -> String {
        format!("{}.{}-{what}", self.prefix, self.names.fetch_add(1, Ordering::Relaxed))
    }

    pub(super) fn topic_name(&self, what: &str) -> Verdict<TopicName> {
        TopicName::new(self.name(what)).map_err(Failure::of("the subject's prefix"))
    }

    /// Makes a topic that keeps the producers' time, and waits until it is there.
    pub(super) async fn topic(
        &self,
        client: &Client,
        what: &str,
        partitions: i32,
    ) -> Verdict<TopicName> {
        let name = self.topic_name(what)?;
        self.make(client, NewTopic { partitions: Some(partitions), ..NewTopic::new(name.clone()) })
            .await?;
        Ok(name)
    }

    /// Makes a topic, and waits until it is there.
    pub(super) async fn make(&self, client: &Client, topic: NewTopic) -> Verdict<TopicDescription> {
        let admin = client.admin();
        let name = topic.name.clone();
        let made = admin.create(&[topic], self.limits.patience).await;
        made.map_err(Failure::of("a topic is made"))?;
        let deadline = Instant::now() + self.limits.patience;
        loop {
            if let Some(found) = self.describe(client, &name).await? {
                return Ok(found);
            }
            if Instant::now() > deadline {
                return Err(Failure::new(format!(
                    "expected a topic that was made to be there within {:?}",
                    self.limits.patience
                )));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Deletes a topic, and waits until it is gone.
    pub(super) async fn delete(&self, client: &Client, topic: &TopicName) -> Verdict {
        let deleted = self.subject.delete_topic(topic).await;
        deleted.map_err(|error| Failure::new(format!("a topic is deleted: {error}")))?;
        let deadline = Instant::now() + self.limits.patience;
        while self.describe(client, topic).await?.is_some() {
            if Instant::now() > deadline {
                let within = self.limits.patience;
                let what =
                    format!("expected a topic that was deleted to be gone within {within:?}");
                return Err(Failure::new(what));
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    pub(super) async fn describe(
        &self,
        client: &Client,
        topic: &TopicName,
    ) -> Verdict<Option<TopicDescription>> {
        let admin = client.admin();
        let found = admin.describe(std::slice::from_ref(topic), self.limits.patience).await;
        let found = found.map_err(Failure::of("a topic is described"))?;
        match <[_; 1]>::try_from(found) {
            Ok([found]) => Ok(found),
            Err(found) => Err(Failure::new(format!(
                "expected one description for one topic, seen {}",
                found.len()
            ))),
        }
    }

    /// Queues a record, waiting for room where there is none.
    pub(super) async fn enqueue(&self, client: &Client, record: &Record) -> Verdict<Answer> {
        let (receipt, answer) = Receipt::one(Some(EventId::new()), Arc::default());
        self.enqueue_with(client, record, receipt).await?;
        Ok(answer)
    }

    pub(super) async fn enqueue_with(
        &self,
        client: &Client,
        record: &Record,
        mut receipt: Receipt,
    ) -> Verdict {
        let producer = client.producer();
        let queueing = async {
            while let Err(back) = producer.enqueue(record, receipt) {
                receipt = back;
                producer.room().await;
            }
        };
        let queued = tokio::time::timeout(self.limits.patience, queueing).await;
        queued.map_err(|_| Failure::new("expected room in the producer's queue, seen none"))
    }

    /// What became of a record.
    pub(super) async fn outcome(&self, answer: Answer) -> Verdict<Result<Delivered, ProduceError>> {
        match tokio::time::timeout(self.limits.patience, answer).await {
            Ok(Ok(outcome)) => Ok(outcome),
            Ok(Err(_)) => Err(Failure::new("expected a settled receipt, seen one that vanished")),
            Err(_) => Err(Failure::new(format!(
                "expected a settled receipt within {:?}, seen none",
                self.limits.patience
            ))),
        }
    }

    /// Sends a record and waits until it is acknowledged.
    pub(super) async fn send(&self, client: &Client, record: &Record) -> Verdict<Delivered> {
        let answer = self.enqueue(client, record).await?;
        let outcome = self.outcome(answer).await?;
        outcome.map_err(Failure::of("expected an acknowledgement, seen"))
    }

    /// Sends records in order and waits until all are acknowledged.
    pub(super) async fn send_all(
        &self,
        client: &Client,
        records: &[Record],
    ) -> Verdict<Vec<Delivered>> {
        let mut answers = Vec::with_capacity(records.len());
        for record in records {
            answers.push(self.enqueue(client, record).await?);
        }
        let mut delivered = Vec::with_capacity(records.len());
        for answer in answers {
            let outcome = self.outcome(answer).await?;
            delivered.push(outcome.map_err(Failure::of("expected an acknowledgement, seen"))?);
        }
        Ok(delivered)
    }

    /// All that lies on a topic by now, by partition and offset, as a group of its own reads it.
    pub(super) async fn read(&self, client: &Client, topic: &TopicName) -> Verdict<Vec<Received>> {
        let described = self.describe(client, topic).await?;
        let Some(described) = described else {
            return Err(Failure::new("expected a topic to be there, seen none"));
        };
        let mark = self.name("end");
        for partition in 0..described.partitions {
            let mut record = numbered(topic, partition, 0);
            record.headers.push(END, &mark);
            self.send(client, &record).await?;
        }
        let reader = self.join(client, Join::new(self.name("reader"), [topic]))?;
        let is_end = |record: &Received| record.headers.get_str(END) == Some(&mark);
        self.until("a topic is read to its end", &[&reader], || {
            let ends = reader.state().records.iter().filter(|record| is_end(record)).count();
            (ends >= described.partitions as usize).then_some(())
        })
        .await?;
        let mut found = reader.state().records.clone();
        reader.close();
        found.retain(|record| record.headers.get(END).is_none());
        found.sort_by_key(|record| (record.partition, record.offset));
        Ok(found)
    }

    /// Joins a group.
    pub(super) fn join(&self, client: &Client, join: Join) -> Verdict<Member> {
        let subscription = join.subscription.clone();
        let source = client.subscribe(subscription).map_err(Failure::of("a group is joined"))?;
        let control = source.control.clone();
        let member = Member::start(source, join, self.changes.clone());
        lock(&self.members).push((control, member.left()));
        Ok(member)
    }

    /// Waits for a condition, and says what it waited for and what the members saw when it does not
    /// come.
    pub(super) async fn until<T>(
        &self,
        what: &str,
        members: &[&Member],
        mut condition: impl FnMut() -> Option<T>,
    ) -> Verdict<T> {
        let deadline = Instant::now() + self.limits.patience;
        let mut changes = self.changes.subscribe();
        loop {
            changes.mark_unchanged();
            for member in members {
                if let Some(wrong) = member.state().wrong.first() {
                    return Err(Failure::new(wrong.clone()));
                }
            }
            if let Some(found) = condition() {
                return Ok(found);
            }
            if Instant::now() > deadline {
                let seen: Vec<_> = members.iter().map(|member| member.summary()).collect();
                return Err(Failure::new(format!(
                    "expected that {what} within {:?}, seen {}",
                    self.limits.patience,
                    shown(&seen)
                )));
            }
            let _ = tokio::time::timeout(LOOK, changes.changed()).await;
        }
    }

    /// Lets everything go that the behaviour has begun.
    pub(super) async fn end(self) {
        let members = std::mem::take(&mut *lock(&self.members));
        members.iter().for_each(|(control, _)| control.close());
        let clients = std::mem::take(&mut *lock(&self.clients));
        let leaving = async {
            for (_, mut left) in members {
                let _ = left.wait_for(|left| *left).await;
            }
        };
        let _ = tokio::time::timeout(LEAVE, leaving).await;
        for client in clients {
            client.producer().close(LEAVE).await;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A record that says a number and nothing else.
pub(super) fn numbered(topic: &TopicName, partition: i32, number: usize) -> Record {
    Record {
        topic: topic.clone(),
        partition: Some(partition),
        key: None,
        payload: Some(Bytes::from(number.to_string())),
        headers: Headers::default(),
        timestamp: None,
    }
}

/// Records numbered from `first`, all for one partition.
pub(super) fn run_of(
    topic: &TopicName,
    partition: i32,
    numbers: std::ops::Range<usize>,
) -> Vec<Record> {
    numbers.map(|number| numbered(topic, partition, number)).collect()
}

/// The number that a record says.
pub(super) fn number(record: &Received) -> Option<usize> {
    std::str::from_utf8(record.payload.as_deref()?).ok()?.parse().ok()
}

/// The numbers that records of a partition say, in the order in which they came.
pub(super) fn numbers_of(records: &[Received], partition: &TopicPartition) -> Vec<usize> {
    let of = |record: &&Received| {
        record.partition == partition.partition && record.topic == partition.topic
    };
    records.iter().filter(of).filter_map(number).collect()
}

pub(super) fn at(topic: &TopicName, partition: i32) -> TopicPartition {
    TopicPartition { topic: topic.clone(), partition }
}
