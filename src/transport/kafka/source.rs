//! A group member: one thread owns the consumer, polls it, and talks through one channel each way.
//!
//! Rebalance callbacks run on the thread that polls or drops the consumer, so nobody else does
//! either. Partitions are told apart here and not by librdkafka's partition queues, which can lose
//! a wake-up.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message, Timestamp as NativeTimestamp};
use rdkafka::topic_partition_list::Offset;
use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::sync::mpsc;

use super::bootstrap::Bootstrap;
use super::errors::transport_error;
use super::ffi::{self, TopicHandle};
use super::offsets::list;
use super::outgoing::Outgoing;
use super::rebalance::Group;
use crate::error::ErrorClass;
use crate::event::TopicName;
use crate::transport::{
    GroupMember, Received, Source, SourceControl, SourceEvent, Subscription, Timestamp,
    TopicPartition, TransportError,
};

/// Batches that may wait for the runtime before the thread stops polling.
const EVENTS: usize = 64;
/// Records taken in one go before commands are looked at again, and so the most in a batch: one whose memory
/// is small enough that freeing it does not make the allocator tidy up.
const TAKE: usize = 256;
/// The part of the prefetch that they may be: a partition that is paused may get so many more.
const TAKE_OF_PREFETCH: usize = 8;
/// The part of the prefetch that may be on its way of each partition.
const ON_THEIR_WAY: usize = 4;
/// Bytes of an allocation that keys, payloads and headers of many records share; it is freed with the last of them.
const SHARED: usize = 32 * 1024;
/// The thread's longest sleep: a lost wake-up costs this much and no more.
const IDLE: Duration = Duration::from_millis(100);
/// How long `close` waits for commits that are on their way.
const LAST_COMMITS: Duration = Duration::from_secs(5);

pub(super) fn start(
    settings: &ClientConfig,
    subscription: Subscription,
    prefetch: usize,
) -> Result<Source, TransportError> {
    let (events, receiver) = mpsc::channel(EVENTS);
    let control = Arc::new(Control::default());
    let outgoing = Outgoing::new(events, (prefetch / ON_THEIR_WAY).max(1));
    let group = Group::new(&subscription, settings.get("auto.offset.reset"), outgoing);
    let mut settings = settings.clone();
    if subscription.ends {
        settings.set("enable.partition.eof", "true");
    }
    let mut consumer: BaseConsumer<Group> =
        settings.create_with_context(group).map_err(|error| {
            transport_error(format!("no consumer for group {:?}", subscription.group), error)
        })?;
    let waker = control.clone();
    consumer.set_nonempty_callback(move || waker.wake());
    let topics: Vec<_> = subscription.topics.iter().map(TopicName::as_str).collect();
    consumer.subscribe(&topics).map_err(|error| {
        transport_error(
            format!("group {:?} cannot subscribe to {topics:?}", subscription.group),
            error,
        )
    })?;
    let copies = Copies::default();
    let followers = subscription
        .followers
        .iter()
        .filter_map(|follower| TopicHandle::new(consumer.client(), follower.topic.as_str()))
        .collect();
    let most = TAKE.min(prefetch / TAKE_OF_PREFETCH).max(1);
    let bootstrap = Bootstrap::of(&settings);
    let topic = subscription.topics.first().cloned();
    let ours = control.clone();
    let member = Member { followers, consumer, bootstrap, topic, control: ours, copies, most };
    std::thread::Builder::new()
        .name("tidings-consumer".into())
        .spawn(move || member.run())
        .map_err(|error| TransportError {
            what: "no thread for the Kafka consumer".into(),
            class: ErrorClass::Permanent,
            source: Some(error.into()),
        })?;
    Ok(Source { events: receiver, control })
}

/// Commands for the thread, and what wakes it.
struct Control {
    inbox: Mutex<Inbox>,
    woken: Condvar,
    started: Instant,
    polled: AtomicU64,
    /// Who the member was when the group last said something.
    member: Mutex<Option<GroupMember>>,
}

#[derive(Default)]
struct Inbox {
    commands: VecDeque<Command>,
    woken: bool,
}

enum Command {
    Pause(Vec<TopicPartition>),
    Resume(Vec<TopicPartition>),
    Seek(Vec<(TopicPartition, i64)>),
    Commit(Vec<(TopicPartition, i64)>),
    Close,
}

impl Default for Control {
    fn default() -> Self {
        Self {
            inbox: Mutex::default(),
            woken: Condvar::new(),
            started: Instant::now(),
            polled: AtomicU64::new(0),
            member: Mutex::default(),
        }
    }
}

impl Control {
    fn lock(&self) -> std::sync::MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn command(&self, command: Command) {
        let mut inbox = self.lock();
        inbox.commands.push_back(command);
        inbox.woken = true;
        drop(inbox);
        self.woken.notify_one();
    }

    fn wake(&self) {
        self.lock().woken = true;
        self.woken.notify_one();
    }

    fn next(&self) -> Option<Command> {
        self.lock().commands.pop_front()
    }

    fn sleep(&self) {
        let inbox = self.lock();
        let (mut inbox, _) = self
            .woken
            .wait_timeout_while(inbox, IDLE, |inbox| !inbox.woken)
            .unwrap_or_else(PoisonError::into_inner);
        inbox.woken = false;
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaSource").field("polled", &self.polled()).finish_non_exhaustive()
    }
}

impl SourceControl for Control {
    fn pause(&self, partitions: Vec<TopicPartition>) {
        self.command(Command::Pause(partitions));
    }

    fn resume(&self, partitions: Vec<TopicPartition>) {
        self.command(Command::Resume(partitions));
    }

    fn seek(&self, offsets: Vec<(TopicPartition, i64)>) {
        self.command(Command::Seek(offsets));
    }

    fn commit(&self, offsets: Vec<(TopicPartition, i64)>) {
        self.command(Command::Commit(offsets));
    }

    fn close(&self) {
        self.command(Command::Close);
    }

    fn polled(&self) -> Duration {
        Duration::from_millis(self.now().saturating_sub(self.polled.load(Ordering::Relaxed)))
    }

    fn member(&self) -> Option<GroupMember> {
        self.member.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What the thread owns.
struct Member {
    /// Makes the followers' topics known to the client before the group assigns anything. Released
    /// before the consumer.
    followers: Vec<TopicHandle>,
    consumer: BaseConsumer<Group>,
    bootstrap: Bootstrap,
    /// One that it reads: what a look at the broker asks for.
    topic: Option<TopicName>,
    control: Arc<Control>,
    copies: Copies,
    /// Records taken in one go.
    most: usize,
}

impl Member {
    fn run(mut self) {
        let mut changed = 0;
        loop {
            while let Some(command) = self.control.next() {
                if self.carry_out(command).is_break() {
                    self.finish();
                    return;
                }
            }
            let took = self.take();
            if changed != self.consumer.context().changed() {
                changed = self.consumer.context().changed();
                self.say_who();
            }
            self.control.polled.store(self.control.now(), Ordering::Relaxed);
            if self.consumer.context().is_deserted() {
                return;
            }
            self.consumer.context().retry_pending(&self.consumer);
            match &self.topic {
                _ if took > 0 => self.bootstrap.answered(),
                Some(topic) => self.bootstrap.look(self.consumer.client(), topic),
                None => {}
            }
            if took == 0 {
                self.control.sleep();
            }
        }
    }

    /// The group numbers its generations: who the member is changes with each rebalance.
    fn say_who(&self) {
        let member = self.consumer.group_metadata().map(|who| GroupMember::new(Arc::new(who)));
        *self.control.member.lock().unwrap_or_else(PoisonError::into_inner) = member;
    }

    fn carry_out(&self, command: Command) -> std::ops::ControlFlow<()> {
        let group = self.consumer.context();
        let ours = |mut partitions: Vec<TopicPartition>| {
            partitions.retain(|partition| group.owns(partition));
            list(&partitions)
        };
        let result = match command {
            Command::Pause(partitions) => self.consumer.pause(&ours(partitions)),
            Command::Resume(partitions) => self.consumer.resume(&ours(partitions)),
            // Without a wait: the client seeks by itself, and reads on at the new place.
            Command::Seek(offsets) => {
                let mut ours = offsets.iter().filter(|(partition, _)| group.owns(partition));
                ours.try_for_each(|(partition, offset)| {
                    let TopicPartition { topic, partition } = partition;
                    let to = Offset::Offset(*offset);
                    self.consumer.seek(topic.as_str(), *partition, to, Duration::ZERO)
                })
            }
            Command::Commit(offsets) => {
                group.commit_owned(&self.consumer, offsets);
                Ok(())
            }
            Command::Close => return std::ops::ControlFlow::Break(()),
        };
        if let Err(error) = result {
            tracing::warn!(%error, "a command to the Kafka consumer was not carried out");
        }
        std::ops::ControlFlow::Continue(())
    }

    /// Takes what is there, up to a bound; answers how much there was.
    fn take(&mut self) -> usize {
        let group = self.consumer.context();
        // Their references to it are counted by whoever has the batch, and not by this thread too.
        self.copies.topic = None;
        let (mut took, mut empty) = (0, 0);
        // One change of the group at a time: commands that came before it count for the assignment before it.
        let changed = group.changed();
        // `None` may also mean that an event was served, with more of them or records behind it: then
        // nothing wakes this thread again.
        while took < self.most && empty < 2 && group.changed() == changed {
            let served = group.served();
            match self.consumer.poll(Duration::ZERO) {
                None if group.served() != served => took += 1,
                None => empty += 1,
                Some(Ok(message)) => {
                    took += 1;
                    group.push(self.copies.record(&message));
                }
                Some(Err(KafkaError::PartitionEOF(number))) => {
                    took += 1;
                    group.reached(&self.consumer, number);
                }
                Some(Err(error)) => {
                    took += 1;
                    self.report(error);
                }
            }
        }
        group.flush();
        took
    }

    fn report(&self, error: KafkaError) {
        let what = match error.rdkafka_error_code() {
            Some(Code::PollExceeded) => {
                "the member was too slow for max.poll.interval.ms and joins again"
            }
            Some(Code::AutoOffsetReset) => {
                "there is no committed offset, or it is out of range, and auto offset reset is `error`"
            }
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => {
                "a topic is not there; create it, or start with topic creation on"
            }
            _ => "the Kafka consumer reports an error",
        };
        self.consumer.context().send(SourceEvent::Error(transport_error(what, error)));
    }

    /// Serves the commits that are on their way, then leaves the group.
    fn finish(self) {
        let deadline = Instant::now() + LAST_COMMITS;
        while self.consumer.context().commits_open() && Instant::now() < deadline {
            // Records that still come are not ours to handle any more.
            let _ = self.consumer.poll(Duration::from_millis(10));
        }
        drop(self.followers);
        // Dropping leaves the group and runs the last revoke on this thread.
        drop(self.consumer);
    }
}

/// Copies records out of the client's memory. They are freed on other threads, so what they are made of is
/// allocated for many at once.
#[derive(Default)]
pub(super) struct Copies {
    /// The last record's topic: most records have the same one.
    topic: Option<TopicName>,
    /// What is left of the allocation at hand.
    buffer: BytesMut,
}

impl Copies {
    pub(super) fn record(&mut self, message: &BorrowedMessage<'_>) -> Received {
        let name = message.topic();
        let topic = match &mut self.topic {
            Some(topic) if topic.as_str() == name => topic.clone(),
            last => {
                last.insert(TopicName::new(name).expect("a broker has only legal topics")).clone()
            }
        };
        let (key, payload) = self.bytes(message.key(), message.payload());
        Received {
            topic,
            partition: message.partition(),
            offset: message.offset(),
            timestamp: match message.timestamp() {
                NativeTimestamp::NotAvailable => None,
                NativeTimestamp::CreateTime(millis) => Some(Timestamp::Created(millis)),
                NativeTimestamp::LogAppendTime(millis) => Some(Timestamp::Appended(millis)),
            },
            key,
            payload,
            headers: ffi::headers(message, &mut self.buffer),
        }
    }

    fn bytes(
        &mut self,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
    ) -> (Option<Bytes>, Option<Bytes>) {
        let size = key.map_or(0, <[u8]>::len) + payload.map_or(0, <[u8]>::len);
        // A large record is on its own.
        let mut own = BytesMut::new();
        let buffer = if size <= SHARED / 8 { &mut self.buffer } else { &mut own };
        if buffer.capacity() - buffer.len() < size {
            *buffer = BytesMut::with_capacity(if size <= SHARED / 8 { SHARED } else { size });
        }
        let mut copied = |bytes: &[u8]| {
            buffer.extend_from_slice(bytes);
            buffer.split().freeze()
        };
        (key.map(&mut copied), payload.map(&mut copied))
    }
}
