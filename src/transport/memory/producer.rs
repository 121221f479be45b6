//! The producer: a bounded queue, sent in order by one task, each record known by its place.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::broker::{Fault, Pending, Refusal, Shared, TransactionOf};
use super::config::MemoryConfig;
use super::killed::Killed;
use crate::clock::BrokerClock;
use crate::error::ErrorClass;
use crate::event::{EventId, TopicName};
use crate::task;
use crate::transport::{Delivered, ProduceError, Producer, Receipt, Record, Unreachable};

/// The most records of one request.
const REQUEST: usize = 1_000;
/// How long until a request whose answer was lost is sent again.
const AGAIN: Duration = Duration::from_millis(100);

pub(super) struct MemoryProducer {
    queue: Arc<Queue>,
    send_wait: Duration,
    pump: Mutex<Option<AbortHandle>>,
}

/// What is on its way, shared with the task that sends it.
struct Queue {
    shared: Arc<Shared>,
    client: u64,
    producer: u64,
    clock: BrokerClock,
    killed: Killed,
    capacity: usize,
    delivery_wait: Duration,
    records: Mutex<VecDeque<Sent>>,
    filled: Notify,
    room: Notify,
    closed: AtomicBool,
    transaction: Mutex<Option<TransactionOf>>,
    failed: AtomicUsize,
}

struct Sent {
    pending: Pending,
    receipt: Receipt,
    deadline: Instant,
}

/// What became of one request.
enum Answer {
    Stored(Vec<Delivered>),
    Refused(Refusal),
    /// The request or its answer was lost.
    Lost,
    /// There will be no answer.
    Silence,
}

impl MemoryProducer {
    pub(super) fn new(
        shared: Arc<Shared>,
        client: u64,
        config: &MemoryConfig,
        clock: BrokerClock,
        killed: Killed,
    ) -> Self {
        let producer = shared.update(|state, _| state.new_id());
        let queue = Queue {
            shared,
            client,
            producer,
            clock,
            killed,
            capacity: config.queue,
            delivery_wait: config.delivery_wait,
            records: Mutex::default(),
            filled: Notify::new(),
            room: Notify::new(),
            closed: AtomicBool::new(false),
            transaction: Mutex::default(),
            failed: AtomicUsize::new(0),
        };
        Self { queue: Arc::new(queue), send_wait: config.send_wait, pump: Mutex::default() }
    }

    /// The id that marks its records.
    pub(super) fn id(&self) -> u64 {
        self.queue.producer
    }

    /// How many of its records were not stored, or may not have been.
    pub(super) fn failed(&self) -> usize {
        self.queue.failed.load(Ordering::SeqCst)
    }

    /// From here on records belong to a transaction, or to none.
    pub(super) fn within(&self, transaction: Option<TransactionOf>) {
        *lock(&self.queue.transaction) = transaction;
    }

    /// Waits until nothing is queued.
    pub(super) async fn idle(&self) {
        loop {
            let room = self.queue.room.notified();
            if lock(&self.queue.records).is_empty() {
                return;
            }
            room.await;
        }
    }

    /// Ends at once, as a process does that is killed: what is queued is never sent.
    pub(super) fn kill(&self) {
        self.queue.closed.store(true, Ordering::SeqCst);
        if let Some(pump) = lock(&self.pump).take() {
            pump.abort();
        }
        let left = std::mem::take(&mut *lock(&self.queue.records));
        self.queue.note(0);
        // Their receipts say that the producer is closed; who waits for room finds that out.
        drop(left);
        self.queue.room.notify_waiters();
    }

    /// The task is started by the first record: before, there may be no runtime.
    fn start(&self) {
        lock(&self.pump).get_or_insert_with(|| {
            tokio::spawn(task::owned(pump(self.queue.clone()))).abort_handle()
        });
    }
}

#[async_trait]
impl Producer for MemoryProducer {
    fn enqueue(&self, record: &Record, receipt: Receipt) -> Result<(), Receipt> {
        let queue = &self.queue;
        if queue.closed.load(Ordering::SeqCst) || queue.killed.is_set() {
            receipt.settle(Err(ProduceError::Closed));
            return Ok(());
        }
        if lock(&queue.records).len() >= queue.capacity {
            return Err(receipt);
        }
        let partition = match queue.shared.update(|state, _| state.place(record)) {
            Ok(partition) => partition,
            Err(refusal) => {
                queue.failed.fetch_add(1, Ordering::SeqCst);
                receipt.settle(Err(refused(&record.topic, &refusal)));
                return Ok(());
            }
        };
        let pending = Pending { record: record.clone(), partition };
        let deadline = Instant::now() + queue.delivery_wait;
        let mut records = lock(&queue.records);
        records.push_back(Sent { pending, receipt, deadline });
        queue.note(records.len());
        drop(records);
        queue.filled.notify_one();
        self.start();
        Ok(())
    }

    async fn room(&self) {
        let room = self.queue.room.notified();
        if lock(&self.queue.records).len() >= self.queue.capacity {
            room.await;
        }
    }

    fn send_wait(&self) -> Duration {
        self.send_wait
    }

    fn delivery_wait(&self) -> Duration {
        self.queue.delivery_wait
    }

    fn reachable(&self) -> Result<(), Unreachable> {
        let Queue { shared, client, killed, .. } = &*self.queue;
        if let Err(refusal) = killed.check() {
            return Err(Unreachable { since: Duration::ZERO, reason: refusal.to_string() });
        }
        let unreachable = shared.update(|state, now| {
            state.unreachable(*client, now).map(|(since, _)| now.saturating_duration_since(since))
        });
        let reason = || "a fault keeps it away".to_owned();
        unreachable.map_or(Ok(()), |since| Err(Unreachable { since, reason: reason() }))
    }

    async fn close(&self, within: Duration) -> Vec<EventId> {
        if self.queue.closed.swap(true, Ordering::SeqCst) {
            return Vec::new();
        }
        let _ = tokio::time::timeout(within, self.idle()).await;
        let left = std::mem::take(&mut *lock(&self.queue.records));
        let ids = left.iter().filter_map(|sent| sent.receipt.id().cloned()).collect();
        self.kill();
        ids
    }
}

impl Drop for MemoryProducer {
    fn drop(&mut self) {
        self.kill();
        let producer = self.queue.producer;
        self.queue.shared.update(|state, _| state.forget_queue(producer));
    }
}

async fn pump(queue: Arc<Queue>) {
    let mut sequence = 0;
    loop {
        let filled = queue.filled.notified();
        let records = lock(&queue.records).len().min(REQUEST);
        if records == 0 {
            filled.await;
            continue;
        }
        sequence += 1;
        queue.send(sequence, records).await;
    }
}

impl Queue {
    /// Tells the broker how much waits, so that it knows when nothing does.
    fn note(&self, records: usize) {
        self.shared.update(|state, _| state.set_queued(self.producer, records));
    }

    /// Sends the first records of the queue until each of them is settled.
    async fn send(&self, sequence: u64, mut records: usize) {
        loop {
            records -= self.give_up(records);
            let first = lock(&self.records).front().map(|sent| sent.deadline);
            let Some(deadline) = first.filter(|_| records > 0) else { return };
            let sent = Instant::now();
            if !self.shared.reach(self.client, deadline).await {
                continue;
            }
            self.shared.travel().await;
            match self.request(sequence, records) {
                Answer::Stored(delivered) => {
                    self.shared.travel().await;
                    return self.settle(sent, records, delivered);
                }
                Answer::Refused(refusal) => return self.refuse(records, &refusal),
                Answer::Lost => tokio::time::sleep(AGAIN).await,
                Answer::Silence => tokio::time::sleep_until(deadline).await,
            }
        }
    }

    fn request(&self, sequence: u64, records: usize) -> Answer {
        let mut queue = lock(&self.records);
        let pending: Vec<_> =
            queue.make_contiguous()[..records].iter().map(|sent| sent.pending.clone()).collect();
        drop(queue);
        let transaction = lock(&self.transaction).clone();
        self.shared.update(|state, now| {
            if self.killed.is_set() {
                return Answer::Silence;
            }
            if state.unreachable(self.client, now).is_some() {
                return Answer::Lost;
            }
            let fault = state.next_produce_fault();
            if fault == Some(Fault::ProduceTimesOut { stored: false }) {
                return Answer::Silence;
            }
            let stored = state.produce(
                self.client,
                (self.producer, sequence),
                &pending,
                transaction.as_ref(),
                now,
            );
            let delivered = match stored {
                Ok(delivered) => delivered,
                Err(refusal) => return Answer::Refused(refusal),
            };
            match fault {
                Some(Fault::ProduceTimesOut { .. }) => return Answer::Silence,
                Some(Fault::AcknowledgementLost) => return Answer::Lost,
                Some(Fault::Duplicated) if transaction.is_none() => {
                    state.duplicate(self.client, &pending, now)
                }
                _ => {}
            }
            Answer::Stored(delivered)
        })
    }

    /// Settles records whose time is over; answers how many.
    fn give_up(&self, most: usize) -> usize {
        let now = Instant::now();
        let mut late = Vec::new();
        let mut records = lock(&self.records);
        while late.len() < most && records.front().is_some_and(|sent| sent.deadline <= now) {
            late.extend(records.pop_front());
        }
        drop(records);
        let count = late.len();
        self.failed.fetch_add(count, Ordering::SeqCst);
        for sent in late {
            sent.receipt.settle(Err(ProduceError::NoAnswer { waited: self.delivery_wait }));
        }
        self.after(count);
        count
    }

    fn settle(&self, sent: Instant, records: usize, delivered: Vec<Delivered>) {
        let mut count = 0;
        // The first ones may have been given up after an earlier try had stored them.
        let given_up = delivered.len().saturating_sub(records);
        for delivered in delivered.into_iter().skip(given_up) {
            let Some(first) = lock(&self.records).pop_front() else { break };
            if let Some(appended) = delivered.appended_at {
                self.clock.acknowledged_append(sent, appended);
            }
            first.receipt.settle(Ok(delivered));
            count += 1;
        }
        self.after(count);
    }

    fn refuse(&self, count: usize, refusal: &Refusal) {
        self.failed.fetch_add(count, Ordering::SeqCst);
        for _ in 0..count {
            let Some(first) = lock(&self.records).pop_front() else { break };
            first.receipt.settle(Err(refused(&first.pending.record.topic, refusal)));
        }
        self.after(count);
    }

    fn after(&self, settled: usize) {
        if settled > 0 {
            // Said with the queue held: a record that is queued meanwhile must not be said away.
            let records = lock(&self.records);
            self.note(records.len());
            drop(records);
            self.room.notify_waiters();
        }
    }
}

fn refused(topic: &TopicName, refusal: &Refusal) -> ProduceError {
    let (topic, reason) = (topic.clone(), refusal.to_string());
    match refusal {
        Refusal::NoSuchTopic => ProduceError::Unwritable { topic, reason },
        Refusal::TooLarge(_) => ProduceError::TooLarge { topic, reason },
        refusal => ProduceError::Refused { topic, class: refusal.class(), reason },
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Refusal {
    pub(super) fn class(&self) -> ErrorClass {
        match self {
            Self::NoSuchTopic | Self::NoSuchPartition | Self::TooLarge(_) | Self::NoKey => {
                ErrorClass::Permanent
            }
            Self::UnknownMember | Self::TryAgain(_) => ErrorClass::Retriable,
            Self::Fenced | Self::Killed => ErrorClass::Fatal,
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoSuchTopic => f.write_str("there is no such topic"),
            Self::NoSuchPartition => f.write_str("the topic has no such partition"),
            Self::TooLarge(most) => write!(f, "it is larger than the topic's {most} bytes"),
            Self::NoKey => f.write_str("the topic is compacted and the record has no key"),
            Self::UnknownMember => f.write_str("the group does not know this member (any more)"),
            Self::TryAgain(why) => f.write_str(why),
            Self::Fenced => f.write_str("a newer producer has the transactional id"),
            Self::Killed => f.write_str("this client was killed; make a new one"),
        }
    }
}
