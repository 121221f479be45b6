//! The producer: idempotent, bounded, and each record answers for itself.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message, Timestamp as NativeTimestamp};
use rdkafka::producer::{BaseProducer, Producer as _, ProducerContext, PurgeConfig};
use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::bootstrap::Bootstrap;
use super::config::Acks;
use super::config::KafkaConfig;
use super::embedded::EmbeddedBroker;
use super::errors::{class, is_unwritable, transport_error};
use super::ffi::{self, Loan, TopicHandle};
use super::log::{ClientLog, TurnedAway};
use super::probe::Probe;
use crate::clock::BrokerClock;
use crate::error::ErrorClass;
use crate::event::{EventId, TopicName};
use crate::transport::{
    Delivered, ProduceError, Producer, Receipt, Record, TransportError, Unreachable,
};

/// How long the polling thread sleeps at most between looks at whether it should end. A little over whole milliseconds:
/// rdkafka waits for whole ones, and spins through what is left of the last.
const POLL: Duration = Duration::from_micros(100_100);
/// How long a publisher that found the queue full by bytes waits before it tries again.
const FULL_RECHECK: Duration = Duration::from_millis(10);
/// How long a close waits for a record that is between its place and the queue.
const PLACE_RECHECK: Duration = Duration::from_millis(1);
/// What librdkafka's mock cluster answers as the time of each append, since it keeps none.
const MOCK_APPEND: i64 = 1_234;

/// A topic that every cluster with a group has. The probe asks for the topics that the client knows,
/// and a client that knows none would ask for all of the cluster's.
const PROBED: &str = "__consumer_offsets";

pub(super) struct KafkaProducer {
    /// Handles go before their client does.
    topics: RwLock<HashMap<TopicName, Arc<TopicHandle>>>,
    client: Arc<BaseProducer<Deliveries>>,
    queue: Arc<Queue>,
    stop: Arc<AtomicBool>,
    probe: Probe,
    bootstrap: Bootstrap,
    send_wait: Duration,
    delivery_wait: Duration,
    /// A publisher holds nothing but this producer: the broker must not end before it.
    _embedded: Option<EmbeddedBroker>,
}

/// What is on its way, shared with the thread that takes delivery reports.
struct Queue {
    records: AtomicUsize,
    capacity: usize,
    room: Notify,
    waiting: AtomicUsize,
    /// From here on whatever fails is given up: nobody can try it again through this producer.
    closed: AtomicBool,
    given_up: Mutex<Vec<EventId>>,
    clock: BrokerClock,
    /// How long the client tries.
    tries: Duration,
}

/// The client of a producer that may be transactional.
pub(super) type TransactionalClient = BaseProducer<Deliveries>;

/// The settings that the producer needs beside librdkafka's.
pub(super) struct Waits {
    pub(super) capacity: usize,
    pub(super) send: Duration,
    pub(super) delivery: Duration,
    pub(super) message: Duration,
    /// Whether an acknowledgement says where the record lies.
    pub(super) places: bool,
}

impl Waits {
    pub(super) fn of(config: &KafkaConfig) -> Self {
        let producer = config.producer();
        Self {
            capacity: producer.queue_capacity as usize,
            send: producer.send_wait,
            delivery: producer.delivery_wait,
            message: producer.message_timeout,
            places: producer.acks != Acks::None,
        }
    }
}

impl KafkaProducer {
    pub(super) fn start(
        settings: &ClientConfig,
        waits: &Waits,
        clock: BrokerClock,
        embedded: Option<EmbeddedBroker>,
    ) -> Result<Arc<Self>, TransportError> {
        let queue = Arc::new(Queue {
            records: AtomicUsize::new(0),
            capacity: waits.capacity,
            room: Notify::new(),
            waiting: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            given_up: Mutex::default(),
            clock,
            tries: waits.message,
        });
        let client: BaseProducer<Deliveries> = settings
            .create_with_context(Deliveries {
                queue: queue.clone(),
                places: waits.places,
                log: ClientLog::new("producer"),
            })
            .map_err(|error| transport_error("the Kafka producer cannot be made", error))?;
        let client = Arc::new(client);
        let stop = Arc::new(AtomicBool::new(false));
        let (polled, stopped, broker) = (client.clone(), stop.clone(), embedded.clone());
        let no_thread = |error: std::io::Error| TransportError {
            what: "no thread for the Kafka producer".into(),
            class: ErrorClass::Permanent,
            source: Some(error.into()),
        };
        let poll = move || {
            // Its drop may block, so this thread is the client's last owner.
            while !(stopped.load(Ordering::Acquire) && Arc::strong_count(&polled) == 1) {
                polled.poll(POLL);
            }
            // The client goes first: one whose broker has gone says that it is away.
            drop(polled);
            drop(broker);
        };
        std::thread::Builder::new()
            .name("tidings-producer".into())
            .spawn(poll)
            .map_err(no_thread)?;
        let topics = TopicHandle::new(client.client(), PROBED)
            .map(|handle| (TopicName::from_static(PROBED), Arc::new(handle)));
        let producer = Arc::new(Self {
            client,
            queue,
            topics: RwLock::new(topics.into_iter().collect()),
            stop,
            probe: Probe::new(),
            bootstrap: Bootstrap::of(settings),
            send_wait: waits.send,
            delivery_wait: waits.delivery,
            _embedded: embedded,
        });
        let asked = Arc::downgrade(&producer);
        let ask = move |within| asked.upgrade().map(|producer| producer.ask_broker(within));
        producer.probe.start(ask).map_err(no_thread)?;
        Ok(producer)
    }

    /// The client itself, for what only a transaction asks of it.
    pub(super) fn client(&self) -> &TransactionalClient {
        &self.client
    }

    /// What brokers turn this client away for, and every other of the same service.
    pub(super) fn turned_away(&self) -> &TurnedAway {
        self.client.context().log.turned_away()
    }

    /// Whether the broker answers within `within`, and if not why.
    fn ask_broker(&self, within: Duration) -> Result<(), String> {
        if let Some((code, _)) = self.client.client().fatal_error() {
            return Err(code.to_string());
        }
        let answer = ffi::ask_broker(self.client.client(), within);
        if let Err(code) = answer {
            self.bootstrap.silent(self.client.client());
            return Err(self.turned_away().explain(code));
        }
        self.bootstrap.answered();
        self.turned_away().set(None);
        Ok(())
    }

    fn topic(&self, topic: &TopicName) -> Option<Arc<TopicHandle>> {
        if let Some(handle) = self.topics.read().unwrap_or_else(PoisonError::into_inner).get(topic)
        {
            return Some(handle.clone());
        }
        let handle = Arc::new(TopicHandle::new(self.client.client(), topic.as_str())?);
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        Some(topics.entry(topic.clone()).or_insert(handle).clone())
    }
}

#[async_trait]
impl Producer for KafkaProducer {
    fn enqueue(&self, record: &Record, receipt: Receipt) -> Result<(), Receipt> {
        let room = self.queue.take_place();
        // Looked at with the place taken: a close that this does not see waits for the place.
        if self.queue.closed.load(Ordering::SeqCst) {
            if room {
                self.queue.give_place();
            }
            receipt.settle(Err(ProduceError::Closed));
            return Ok(());
        }
        if !room {
            return Err(receipt);
        }
        let Some(topic) = self.topic(&record.topic) else {
            self.queue.give_place();
            receipt.settle(Err(refused(&record.topic, Code::InvalidTopic, self.turned_away())));
            return Ok(());
        };
        let sent = Sent { receipt, at: Instant::now() };
        let Err((code, sent)) = ffi::produce(self.client.client(), &topic, record, sent) else {
            return Ok(());
        };
        if code == Code::QueueFull {
            self.queue.take_back();
            return Err(sent.receipt);
        }
        self.queue.give_place();
        sent.receipt.settle(Err(refused(&record.topic, code, self.turned_away())));
        Ok(())
    }

    async fn room(&self) {
        let _waiting = Waiting::begin(&self.queue.waiting);
        // A look at the count is not enough: librdkafka bounds the queue by bytes too.
        let _ = tokio::time::timeout(FULL_RECHECK, self.queue.room.notified()).await;
    }

    fn send_wait(&self) -> Duration {
        self.send_wait
    }

    fn delivery_wait(&self) -> Duration {
        self.delivery_wait
    }

    fn reachable(&self) -> Result<(), Unreachable> {
        self.probe.reachable()
    }

    async fn close(&self, within: Duration) -> Vec<EventId> {
        if self.queue.closed.swap(true, Ordering::SeqCst) {
            return Vec::new();
        }
        let (client, queue) = (self.client.clone(), self.queue.clone());
        let flushed = tokio::task::spawn_blocking(move || {
            let deadline = std::time::Instant::now() + within;
            // A record may have a place and not be in librdkafka's queue yet, which a flush cannot see.
            while queue.records.load(Ordering::SeqCst) > 0 {
                let left = deadline.saturating_duration_since(std::time::Instant::now());
                if left.is_zero() {
                    client.purge(PurgeConfig::default().queue().inflight());
                    // The purge has settled each record; its reports only have to be taken.
                    let _ = client.flush(Duration::from_secs(1));
                    return;
                }
                let _ = client.flush(left);
                std::thread::park_timeout(PLACE_RECHECK);
            }
        });
        // It panics only where librdkafka refuses the purge; the ids are what was settled till then.
        let _ = flushed.await;
        std::mem::take(&mut *self.queue.given_up.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for KafkaProducer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

impl Queue {
    /// Who finds no place wakes nobody: those who wait would wake each other for ever.
    fn take_place(&self) -> bool {
        let more = |records| (records < self.capacity).then_some(records + 1);
        self.records.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).is_ok()
    }

    /// A place that could not be used, since the queue is full by bytes.
    fn take_back(&self) {
        self.records.fetch_sub(1, Ordering::AcqRel);
    }

    fn give_place(&self) {
        self.records.fetch_sub(1, Ordering::AcqRel);
        if self.waiting.load(Ordering::Acquire) > 0 {
            self.room.notify_one();
        }
    }
}

/// One who waits for room, until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::AcqRel);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What goes with a record through librdkafka and comes back with its delivery report.
pub(super) struct Sent {
    receipt: Receipt,
    at: Instant,
}

pub(super) struct Deliveries {
    queue: Arc<Queue>,
    places: bool,
    log: ClientLog,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.log.line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.log.error(&error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Loan<Sent>>;

    fn delivery(&self, result: &DeliveryResult<'_>, loan: Box<Loan<Sent>>) {
        let Sent { receipt, at } = loan.with;
        let outcome = self.outcome(result, at);
        if let Err(error) = &outcome {
            if self.queue.closed.load(Ordering::SeqCst) {
                let mut given_up =
                    self.queue.given_up.lock().unwrap_or_else(PoisonError::into_inner);
                given_up.extend(receipt.id().cloned());
            }
            if *error != ProduceError::Closed {
                let topic = topic_of(result);
                tracing::warn!(%topic, id = receipt.id().map(tracing::field::display), %error, "not published");
            }
        }
        receipt.settle(outcome);
        // Last: a close that finds every place given knows what became of each record.
        self.queue.give_place();
    }
}

impl Deliveries {
    fn outcome(&self, result: &DeliveryResult<'_>, at: Instant) -> Result<Delivered, ProduceError> {
        match result {
            // Nobody said where the record lies: librdkafka takes the acknowledgement of a batch for those before it too,
            // also for one that it knows was refused (`rd_kafka_dr_implicit_ack`). Of a record that the broker calls
            // a duplicate, which is stored, it does not say it either.
            Ok(message) if self.places && message.offset() < 0 => {
                Err(ProduceError::NoAnswer { waited: at.elapsed() })
            }
            Ok(message) => {
                let appended_at = match message.timestamp() {
                    NativeTimestamp::LogAppendTime(millis) if millis != MOCK_APPEND => Some(millis),
                    _ => None,
                };
                if let Some(appended) = appended_at {
                    self.queue.clock.acknowledged_append(at, appended);
                }
                let (partition, offset) = (message.partition(), message.offset());
                Ok(Delivered { partition, offset, appended_at })
            }
            Err((error, _)) => {
                let turned_away = self.log.turned_away();
                Err(match error.rdkafka_error_code().unwrap_or(Code::Fail) {
                    Code::PurgeQueue | Code::PurgeInflight => ProduceError::Closed,
                    // A client that is let in may have had its record stored all the same.
                    Code::MessageTimedOut if !turned_away.is_set() => {
                        ProduceError::NoAnswer { waited: self.queue.tries }
                    }
                    code => refused(&topic_of(result), code, turned_away),
                })
            }
        }
    }
}

fn topic_of(result: &DeliveryResult<'_>) -> TopicName {
    let (Ok(message) | Err((_, message))) = result;
    TopicName::new(message.topic()).expect("it was one")
}

fn refused(topic: &TopicName, code: Code, turned_away: &TurnedAway) -> ProduceError {
    let (topic, reason) = (topic.clone(), turned_away.explain(code));
    match code {
        Code::MessageSizeTooLarge | Code::MessageBatchTooLarge => {
            ProduceError::TooLarge { topic, reason }
        }
        code if is_unwritable(code) => ProduceError::Unwritable { topic, reason },
        code => ProduceError::Refused { topic, class: class(code), reason },
    }
}
