//! A second consumer group that sees what really lies in the topics: every event of the run, and its dead letters.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use example_contracts::{UserCreated, UserDeactivated, UserRenamed};
use serde::{Deserialize, Serialize};
use tidings::IntegrationEvent;
use tidings::consumer::{BuildError, Consumer, Event, RawRecord, State, TopicSetup};
use tidings::event::{Metadata, header};
use tidings::retry::{RetryPolicy, UnknownType};
use tidings::transport::kafka::Kafka;
use uuid::Uuid;

use crate::email_service::MailKind;

/// What was seen, of all runs that the topics still hold.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Of each user the events in the order in which they were read.
    pub events: HashMap<Uuid, Vec<SeenEvent>>,
    pub dead: Vec<DeadLetter>,
}

/// An event as it lies in the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenEvent {
    pub id: String,
    pub what: What,
    /// Partition and offset: a record that is read again is at the same place.
    pub place: (i32, i64),
}

/// What happened to a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    Created,
    Renamed(String),
    Deactivated,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Created => f.write_str("created"),
            Self::Renamed(name) => write!(f, "renamed to {name}"),
            Self::Deactivated => f.write_str("deactivated"),
        }
    }
}

/// Where an event ended that ran out of retries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadLetter {
    pub user_id: Uuid,
    pub mail: MailKind,
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    /// How often it was delivered in vain, retries in place not counted.
    pub deliveries: u32,
    pub error: String,
}

/// Collects what the witness sees. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub struct Witness(Arc<Mutex<Seen>>);

/// What is read of a dead letter: the event lies in it as it was published, with headers that say
/// what happened to it.
#[derive(Serialize, Deserialize, IntegrationEvent)]
#[event(key = user_id, name = "user_created", topic = "integration-events.users.dlq")]
struct DeadWelcome {
    user_id: Uuid,
}

#[derive(Serialize, Deserialize, IntegrationEvent)]
#[event(key = user_id, name = "user_deactivated", topic = "integration-events.users.dlq")]
struct DeadGoodbye {
    user_id: Uuid,
}

impl Witness {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was seen so far.
    pub fn so_far(&self) -> Seen {
        self.seen().clone()
    }

    fn event(&self, user: Uuid, what: What, metadata: Metadata, RawRecord(record): RawRecord) {
        let id = metadata.id.to_string();
        let event = SeenEvent { id, what, place: (record.partition, record.offset) };
        self.seen().events.entry(user).or_default().push(event);
    }

    fn dead(&self, user_id: Uuid, mail: MailKind, RawRecord(record): RawRecord) {
        let said = |name| record.headers.get_str(name).unwrap_or_default().to_owned();
        let letter = DeadLetter {
            user_id,
            mail,
            topic: record.topic.to_string(),
            partition: record.partition,
            offset: record.offset,
            deliveries: said(header::RETRY_ATTEMPT).parse().unwrap_or_default(),
            error: said(header::ERROR_MESSAGE),
        };
        self.seen().dead.push(letter);
    }

    /// A consumer of its own group, which begins with the oldest event there is.
    ///
    /// # Errors
    /// When it is put together wrongly.
    pub fn consumer(&self, run: &str, kafka: &Kafka) -> Result<Consumer, BuildError> {
        Consumer::builder(format!("demo-{run}"))
            .handle(created)
            .handle(renamed)
            .handle(deactivated)
            .handle(dead_welcome)
            .handle(dead_goodbye)
            .state(self.clone())
            .unknown(UnknownType::Ignore)
            // It only looks: it neither retries nor has dead letters, so it needs no topics of its own.
            .retry(RetryPolicy::none().dead_letter(false))
            .topics(TopicSetup::Off)
            .build(kafka)
    }
}

type Noted = Result<(), std::convert::Infallible>;

async fn created(
    Event(event): Event<UserCreated>,
    metadata: Metadata,
    record: RawRecord,
    State(witness): State<Witness>,
) -> Noted {
    witness.event(event.user_id, What::Created, metadata, record);
    Ok(())
}

async fn renamed(
    Event(event): Event<UserRenamed>,
    metadata: Metadata,
    record: RawRecord,
    State(witness): State<Witness>,
) -> Noted {
    witness.event(event.user_id, What::Renamed(event.full_name), metadata, record);
    Ok(())
}

async fn deactivated(
    Event(event): Event<UserDeactivated>,
    metadata: Metadata,
    record: RawRecord,
    State(witness): State<Witness>,
) -> Noted {
    witness.event(event.user_id, What::Deactivated, metadata, record);
    Ok(())
}

async fn dead_welcome(
    Event(event): Event<DeadWelcome>,
    record: RawRecord,
    State(witness): State<Witness>,
) -> Noted {
    witness.dead(event.user_id, MailKind::Welcome, record);
    Ok(())
}

async fn dead_goodbye(
    Event(event): Event<DeadGoodbye>,
    record: RawRecord,
    State(witness): State<Witness>,
) -> Noted {
    witness.dead(event.user_id, MailKind::Goodbye, record);
    Ok(())
}
