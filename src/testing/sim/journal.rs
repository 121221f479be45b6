//! The journal: everything that happened in a world, in order.
//!
//! Checks are made on it afterwards, stories are told from it, and a replay is the same when it is.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::clock::Millis;
use crate::event::{TopicName, header};
use crate::transport::memory::{Operation, Watcher};
use crate::transport::{Observer, Received, Step, StepKind, TopicPartition};

/// A client of the broker: one life of a process.
pub(crate) type Client = u64;

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
    /// A handler is about to answer these events.
    Follows {
        /// The event's record.
        place: Place,
        /// The handler.
        handler: String,
        /// What follows, if it goes well.
        events: Vec<Promise>,
    },
    /// The broker did something.
    Broker(Operation),
    /// A consumer took a step.
    Step(Stepped),
}

/// An event as it was promised.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Promise {
    /// Where to.
    pub topic: TopicName,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its payload, which no other event has.
    pub payload: Bytes,
}

/// A [`Step`], kept.
#[derive(Debug)]
pub struct Stepped {
    /// The client whose consumer it is.
    pub client: u64,
    /// Its group.
    pub group: String,
    /// The record's place.
    pub place: Place,
    /// The handler; `None` where it is the consumer's step.
    pub handler: Option<String>,
    /// Which delivery.
    pub attempt: u32,
    /// The broker's time.
    pub now: Millis,
    /// What was done.
    pub kind: Kind,
}

/// A [`StepKind`], kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A handler was called.
    Begun,
    /// It succeeded.
    Done,
    /// It had handled the event before, and was not called.
    Duplicate,
    /// It, or the consumer, dropped the event.
    Dropped,
    /// It failed.
    Failed {
        /// How.
        kind: String,
        /// What it said.
        error: String,
    },
    /// Another topic has it.
    Moved(TopicName),
    /// Nobody takes it.
    Skipped,
}

/// Everything that happened, in order.
pub struct Journal {
    began: Instant,
    epoch: Millis,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    entries: Vec<Entry>,
    /// Events by their id on the wire, numbered as they are seen: ids differ from run to run.
    numbers: HashMap<String, usize>,
    /// Clients that are to crash after so many of their operations.
    armed: HashMap<Client, (u32, oneshot::Sender<()>)>,
    members: HashMap<u64, Client>,
}

impl Journal {
    pub(crate) fn new(epoch: Millis) -> Arc<Self> {
        Arc::new(Self { began: Instant::now(), epoch, state: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what an application knows.
    pub fn note(&self, what: What) {
        let at = self.began.elapsed();
        self.lock().entries.push(Entry { at, what });
    }

    /// Tells when a client has done `operations` more things at the broker.
    pub(crate) fn after(&self, client: Client, operations: u32) -> oneshot::Receiver<()> {
        let (reached, tells) = oneshot::channel();
        self.lock().armed.insert(client, (operations, reached));
        tells
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
                What::Broker(Operation::Appended { client, record, doubled }) => {
                    let id = record.headers.get_str(header::ID);
                    let number = id.and_then(|id| state.numbers.get(id));
                    (client, doubled, number).hash(&mut hasher);
                    (&record.topic, record.partition, record.offset).hash(&mut hasher);
                    (&record.key, &record.payload).hash(&mut hasher);
                }
                // What it says of its failure may name the event's id too.
                What::Step(Stepped { kind: Kind::Failed { kind, .. }, place, attempt, .. }) => {
                    (kind, place, attempt).hash(&mut hasher);
                }
                other => format!("{other:?}").hash(&mut hasher),
            }
        }
        hasher.finish()
    }
}

impl Watcher for Journal {
    fn saw(&self, operation: &Operation) {
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
        if let Some(client) = client
            && let Some((left, _)) = state.armed.get_mut(&client)
        {
            *left = left.saturating_sub(1);
            if *left == 0
                && let Some((_, reached)) = state.armed.remove(&client)
            {
                // Fails only when nobody waits for it any more.
                let _ = reached.send(());
            }
        }
        let what = What::Broker(operation.clone());
        state.entries.push(Entry { at: self.began.elapsed(), what });
    }
}

/// Notes what one client's consumers do.
pub(crate) struct Noting {
    pub(crate) journal: Arc<Journal>,
    /// Known once the client is there.
    pub(crate) client: std::sync::OnceLock<Client>,
}

impl Observer for Noting {
    fn saw(&self, step: &Step<'_>) {
        let kind = match step.what {
            StepKind::Begun => Kind::Begun,
            StepKind::Done => Kind::Done,
            StepKind::Duplicate => Kind::Duplicate,
            StepKind::Dropped { .. } => Kind::Dropped,
            StepKind::Failed { kind, error } => {
                Kind::Failed { kind: kind.to_owned(), error: error.to_owned() }
            }
            StepKind::Moved { to, .. } => Kind::Moved(to.clone()),
            StepKind::Skipped => Kind::Skipped,
        };
        let elapsed = self.journal.began.elapsed();
        self.journal.note(What::Step(Stepped {
            client: self.client.get().copied().unwrap_or_default(),
            group: step.group.to_owned(),
            place: Place { partition: step.partition(), offset: step.record.offset },
            handler: step.handler.map(str::to_owned),
            attempt: step.attempt,
            now: self.journal.epoch.saturating_add(crate::clock::millis(elapsed)),
            kind,
        }));
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
