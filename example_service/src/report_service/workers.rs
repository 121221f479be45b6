//! The workers: from the user service's events to monthly reports and to profiles.

use std::time::Duration;

use chrono::{DateTime, Utc};
use example_contracts::{
    Change, MonthlyReports, Profile, ReportEntry, UserCreated, UserDeactivated, UserProfiles,
    UserRenamed, Users,
};
use tidings::IntegrationEvent;
use tidings::consumer::{BuildError, Delivery, Event, HandlerError, RawRecord};
use tidings::event::Metadata;
use tidings::producer::Message;
use tidings::retry::UnknownType;
use tidings::topic::Topic;
use tidings::transport::Transport;
use tidings::worker::{Backoff, Worker};
use uuid::Uuid;

use crate::broker::{START, TOPICS};

/// The workers' names, which are their consumer groups' too.
pub const SIGN_UPS: &str = "report-sign-ups";
pub const DEPARTURES: &str = "report-departures";
pub const PROFILES: &str = "user-profiles";

/// How long it waits before it tries a profile again, at first.
const RETRY: Duration = Duration::from_millis(100);

/// Who came, for the report of that month.
async fn signed_up(
    Event(user): Event<UserCreated>,
    metadata: Metadata,
) -> Result<ReportEntry, HandlerError> {
    Ok(entry(user.user_id, metadata.time, Change::SignedUp))
}

/// Who went.
async fn left(
    Event(user): Event<UserDeactivated>,
    metadata: Metadata,
) -> Result<ReportEntry, HandlerError> {
    Ok(entry(user.user_id, metadata.time, Change::Left))
}

fn entry(user_id: Uuid, at: DateTime<Utc>, change: Change) -> ReportEntry {
    ReportEntry { month: at.format("%Y-%m").to_string(), user_id, change }
}

/// What a user's profile is after an event; nothing where the event says nothing of it. It reads all of the topic, not
/// one event: so all that happens to a user is worked on in its order.
async fn profile(_: RawRecord, delivery: Delivery) -> Result<Option<Message>, HandlerError> {
    let put = |user_id: Uuid, full_name| -> Result<_, HandlerError> {
        Ok(Some(Message::on::<UserProfiles>(&Profile { full_name })?.key(user_id)))
    };
    match &*delivery.metadata().event_type {
        UserCreated::NAME => {
            let user: UserCreated = delivery.decode()?;
            put(user.user_id, user.full_name)
        }
        UserRenamed::NAME => {
            let user: UserRenamed = delivery.decode()?;
            put(user.user_id, user.full_name)
        }
        UserDeactivated::NAME => {
            let user: UserDeactivated = delivery.decode()?;
            Ok(Some(Message::tombstone(UserProfiles::NAME, user.user_id)))
        }
        _ => Ok(None),
    }
}

/// Writes who came into the monthly reports.
///
/// # Errors
/// When it is put together wrongly.
pub fn sign_ups<T: Transport + Clone>(transport: &T) -> Result<Worker, BuildError> {
    Worker::builder(SIGN_UPS)
        .input::<Users>()
        .output::<MonthlyReports>()
        .process(signed_up)
        .concurrency(16)
        .topics(TOPICS)
        // The topic has more than it reads.
        .consumer(|consumer| consumer.unknown(UnknownType::Ignore).start_wait(START))
        .build(transport)
}

/// Writes who went into the monthly reports.
///
/// # Errors
/// When it is put together wrongly.
pub fn departures<T: Transport + Clone>(transport: &T) -> Result<Worker, BuildError> {
    Worker::builder(DEPARTURES)
        .input::<Users>()
        .output::<MonthlyReports>()
        .process(left)
        .concurrency(16)
        .topics(TOPICS)
        .consumer(|consumer| consumer.unknown(UnknownType::Ignore).start_wait(START))
        .build(transport)
}

/// Keeps what is known of each user.
///
/// # Errors
/// When it is put together wrongly.
pub fn profiles<T: Transport + Clone>(transport: &T) -> Result<Worker, BuildError> {
    Worker::builder(PROFILES)
        .input::<Users>()
        .process(profile)
        .concurrency(16)
        // In place and without tiers: an older name must never come after a younger one.
        .max_retries(10)
        .backoff(Backoff::exponential(RETRY).cap(RETRY * 50))
        .topics(TOPICS)
        .writes([UserProfiles::spec()])
        .consumer(|consumer| consumer.start_wait(START))
        .build(transport)
}
