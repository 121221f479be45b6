//! The journal: everything that happened in a world, in order.
//!
//! Checks are made on it afterwards, stories are told from it, and a replay is the same when it is.

use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::super::database::{Ended, Stored};
pub use super::super::step::{Did, Stepped};
use crate::clock::Millis;
use crate::event::{IntegrationEvent, TopicName, header};
use crate::transport::memory::{Operation, Watcher};
use crate::transport::{Received, Step, TopicPartition};

/// A client of the broker: one life of a process.
pub(super) type Client = u64;

/// The broker's time when a world begins: some day in 2026.
pub(super) const EPOCH: Millis = 1_770_000_000_000;

/// Where a record lies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The topic and partition.
    pub partition: TopicPartition,
    /// The offset.
    pub offset: i64,
}

/// Something that happened.
#[derive(Debug)]
pub struct Entry {
    /// When, counted from the world's beginning.
    pub at: Duration,
    /// What.
    pub what: What,
}

/// What can happen.
#[derive(Debug)]
#[non_exhaustive]
pub enum What {
    /// A process began its life as a client, with its clock so far ahead.
    Started {
        /// The process.
        process: String,
        /// Its group, where it consumes.
        group: Option<String>,
        /// Its client.
        client: u64,
        /// How far its clock is ahead of the broker's, in milliseconds.
        skew: Millis,
    },
    /// A process was killed.
    Crashed {
        /// Its client.
        client: u64,
    },
    /// What a process runs has failed: it ends, and is started again.
    GaveUp {
        /// Its client.
        client: u64,
        /// Why.
        error: String,
    },
    /// A process was asked to stop.
    Stopping {
        /// Its client.
        client: u64,
    },
    /// A process has stopped as it should.
    Stopped {
        /// Its client.
        client: u64,
        /// Whether nothing was left.
        clean: bool,
    },
    /// A task panicked, which no task of a service may.
    Panicked {
        /// With what.
        message: String,
    },
    /// Faults have ended, and every process is up or coming up.
    Calm,
    /// Somebody was told that these events are published: in this order, unless they had to be tried
    /// more than once.
    Promised {
        /// The events.
        events: Vec<Promise>,
        /// How often publishing was tried.
        tries: u32,
    },
    /// These events must never be seen: what raised them failed.
    Forbidden(Vec<Promise>),
    /// A handler is about to succeed and to answer these events. To be noted for each call of it that
    /// does, in the order of the events.
    Follows {
        /// The handler's group.
        group: String,
        /// The event's record.
        place: Place,
        /// The handler.
        handler: String,
        /// What follows, if it goes well.
        events: Vec<Promise>,
    },
    /// The broker did something.
    Broker(Operation),
    /// A transaction of a database has ended.
    Transaction(Ended),
    /// A consumer took a step.
    Step {
        /// The client whose consumer it is.
        client: u64,
        /// The record's place.
        place: Place,
        /// The step.
        step: Stepped,
    },
}

/// An event as it was promised.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Promise {
    /// Where to.
    pub topic: TopicName,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its payload, which no other event has.
    pub payload: Bytes,
}

/// Everything that happened, in order.
pub struct Journal {
    began: Instant,
    state: Mutex<State>,
}

/// Hears that a client has done what it was to do; answers whether it is no more.
pub(super) type Reached = Box<dyn FnOnce() -> bool + Send>;

#[derive(Default)]
struct State {
    entries: Vec<Entry>,
    /// Events by their id on the wire, numbered as they are seen: ids differ from run to run.
    numbers: HashMap<String, usize>,
    /// Clients whose operations are counted, and who is told when there were so many.
    armed: HashMap<Client, (u32, Reached)>,
    /// Those that are no more: what a task says that was polled while they ended is not heard.
    crashed: HashSet<Client>,
    members: HashMap<u64, Client>,
}

impl State {
    /// A client has done something that others can see.
    fn counted(&mut self, client: Client, at: Duration) {
        let Some((left, _)) = self.armed.get_mut(&client) else { return };
        *left = left.saturating_sub(1);
        if *left == 0
            && let Some((_, reached)) = self.armed.remove(&client)
            && reached()
        {
            self.entries.push(Entry { at, what: What::Crashed { client } });
            self.crashed.insert(client);
        }
    }
}

impl Journal {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what an application knows.
    pub fn note(&self, what: What) {
        let at = self.began.elapsed();
        self.lock().entries.push(Entry { at, what });
    }

    /// A task has panicked.
    pub(super) fn panicked(&self, panic: &(dyn Any + Send)) {
        let message = crate::task::message(panic).unwrap_or("without a word").to_owned();
        self.note(What::Panicked { message });
    }

    /// A process has crashed: nothing more is heard of it.
    pub(super) fn crashed(&self, client: Client) {
        self.note(What::Crashed { client });
        self.lock().crashed.insert(client);
    }

    /// Tells at once, before anybody else hears of the last one, when a client has done so many more
    /// things at the broker and at databases.
    pub(super) fn after(&self, client: Client, operations: u32, reached: Reached) {
        self.lock().armed.insert(client, (operations, reached));
    }

    /// A client has done something at a database.
    pub(super) fn counted(&self, client: Client) {
        let at = self.began.elapsed();
        self.lock().counted(client, at);
    }

    /// Counts no more what a client does.
    pub(super) fn disarm(&self, client: Client) {
        self.lock().armed.remove(&client);
    }

    /// Everything so far, for who looks at it.
    pub fn with<T>(&self, look: impl FnOnce(&[Entry]) -> T) -> T {
        look(&self.lock().entries)
    }

    /// How many different events were seen at the broker.
    pub fn events(&self) -> usize {
        self.lock().numbers.len()
    }

    /// Which event a record carries, counted as events were seen first.
    pub fn event_of(&self, record: &Received) -> Option<usize> {
        let id = record.headers.get_str(header::ID)?;
        self.lock().numbers.get(id).copied()
    }

    /// One number for all that happened: the same for the same run.
    pub fn hash(&self) -> u64 {
        let state = self.lock();
        let mut hasher = DefaultHasher::new();
        for Entry { at, what } in &state.entries {
            at.hash(&mut hasher);
            match what {
                // Its headers hold the event's id, which is another one each time.
                What::Broker(Operation::Appended { client, record, doubled, .. }) => {
                    let id = record.headers.get_str(header::ID);
                    let number = id.and_then(|id| state.numbers.get(id));
                    (client, doubled, number).hash(&mut hasher);
                    (&record.topic, record.partition, record.offset).hash(&mut hasher);
                    (&record.key, &record.payload).hash(&mut hasher);
                }
                // What it says of its failure may name the event's id too.
                // As above, and the ids of what was claimed.
                What::Transaction(Ended { committed, events, claims, effects, held: _ }) => {
                    (committed, claims.len(), effects).hash(&mut hasher);
                    for Stored { row, record, publish_at } in events {
                        (row, &record.topic, &record.key, &record.payload).hash(&mut hasher);
                        publish_at.hash(&mut hasher);
                    }
                }
                What::Step { client, place, step } => {
                    let Stepped { group, handler, attempt, did, .. } = step;
                    (client, place, group, handler, attempt).hash(&mut hasher);
                    match did {
                        Did::Fail { kind, .. } => kind.hash(&mut hasher),
                        did => format!("{did:?}").hash(&mut hasher),
                    }
                }
                other => format!("{other:?}").hash(&mut hasher),
            }
        }
        hasher.finish()
    }
}

impl Watcher for Journal {
    fn did(&self, operation: &Operation) {
        let mut state = self.lock();
        let state = &mut *state;
        let client = match operation {
            Operation::Appended { client, record, .. } => {
                if let Some(id) = record.headers.get_str(header::ID)
                    && !state.numbers.contains_key(id)
                {
                    state.numbers.insert(id.to_owned(), state.numbers.len());
                }
                Some(*client)
            }
            Operation::Joined { member, client, .. } => {
                state.members.insert(*member, *client);
                Some(*client)
            }
            Operation::Assigned { member, .. }
            | Operation::Released { member, .. }
            | Operation::Committed { member, .. } => state.members.get(member).copied(),
            _ => None,
        };
        let at = self.began.elapsed();
        state.entries.push(Entry { at, what: What::Broker(operation.clone()) });
        if let Some(client) = client {
            state.counted(client, at);
        }
    }

    fn stepped(&self, client: Client, step: &Step<'_>) {
        let place = Place { partition: step.partition(), offset: step.record.offset };
        if !self.lock().crashed.contains(&client) {
            self.note(What::Step { client, place, step: Stepped::of(step) });
        }
    }
}

impl Promise {
    /// How an event of this type lies at the broker: as JSON.
    ///
    /// # Panics
    /// When it has no usable key, or cannot be written as JSON.
    pub fn of<E: IntegrationEvent>(event: &E) -> Self {
        let key = event.partition_key().expect("the event's key can be a key");
        Self {
            topic: event.topic(),
            key: key.map(|key| Bytes::copy_from_slice(key.as_str().as_bytes())),
            payload: serde_json::to_vec(event).expect("the event can be JSON").into(),
        }
    }
}

impl Place {
    /// Where a record lies.
    pub fn of(record: &Received) -> Self {
        let partition = TopicPartition { topic: record.topic.clone(), partition: record.partition };
        Self { partition, offset: record.offset }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.partition, self.offset)
    }
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal").field("entries", &self.lock().entries.len()).finish()
    }
}
