//! Consuming: handlers, extractors, outcomes, errors, order, layers.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidings::IntegrationEvent;
use tidings::consumer::{Consumer, Order, TopicSetup};
use tidings::error::BoxError;
use tidings::event::Metadata;
use tidings::publisher::Publisher;
use tidings::transport::kafka::Kafka;
use uuid::Uuid;

use super::contracts::UserCreated;

#[derive(Debug, thiserror::Error)]
pub enum MailError {
    #[error("the address is refused")]
    Refused,
    #[error("the mail server is away")]
    ServerAway,
    #[error("try later")]
    Later,
}

/// Sends mails to a list.
#[derive(Clone, Default)]
pub struct Mailer(Arc<Mutex<Vec<String>>>);

impl Mailer {
    async fn send(&self, to: &str) -> Result<(), MailError> {
        if to.starts_with("refused@") {
            return Err(MailError::Refused);
        }
        self.0.lock().unwrap().push(to.into());
        Ok(())
    }
}

// ANCHOR: handler
use tidings::consumer::{Event, HandlerError, State};

/// Greets a new user. Any error is a transient failure unless it says otherwise.
pub async fn welcome(
    Event(user): Event<UserCreated>,
    State(mailer): State<Mailer>,
) -> Result<(), HandlerError> {
    mailer.send(&user.email).await?;
    Ok(())
}
// ANCHOR_END: handler

// ANCHOR: errors
use tidings::consumer::Failing;

/// Says of each failure what trying again is good for.
pub async fn greet(
    Event(user): Event<UserCreated>,
    State(mailer): State<Mailer>,
) -> Result<(), HandlerError> {
    match mailer.send(&user.email).await {
        Ok(()) => Ok(()),
        Err(error @ MailError::Later) => Err(HandlerError::transient(error)), // retries, then tiers
        Err(error @ MailError::ServerAway) => Err(HandlerError::outage(error)), // wait, count nothing
        Err(error @ MailError::Refused) => Err(error).permanent(), // dead letter at once
    }
}
// ANCHOR_END: errors

// ANCHOR: classify
use tidings::consumer::FailureKind;

impl MailError {
    /// What trying again is good for, wherever the error comes from.
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::Refused => FailureKind::Permanent,
            Self::ServerAway => FailureKind::Outage,
            Self::Later => FailureKind::Transient,
        }
    }
}

/// Says nothing of its errors, and need not.
pub async fn remind(
    Event(user): Event<UserCreated>,
    State(mailer): State<Mailer>,
) -> Result<(), HandlerError> {
    mailer.send(&user.email).await?;
    Ok(())
}

pub fn reminding(mailer: Mailer, kafka: &Kafka) -> Result<Consumer, BoxError> {
    let consumer = Consumer::builder("reminders")
        .handle(remind)
        .state(mailer)
        .classify(MailError::kind)
        .classify(|_: &std::io::Error| FailureKind::Outage)
        .build(kafka)?;
    Ok(consumer)
}
// ANCHOR_END: classify

#[derive(Debug, Serialize, Deserialize, IntegrationEvent)]
#[event(key = user_id)]
pub struct UserGreeted {
    pub user_id: Uuid,
}

// ANCHOR: outcomes
use tidings::consumer::{Attempt, IntoOutcome, Outcome};

/// What a handler answers is published before the event counts as handled.
pub async fn greet_and_tell(
    Event(user): Event<UserCreated>,
    State(mailer): State<Mailer>,
) -> Result<UserGreeted, HandlerError> {
    mailer.send(&user.email).await?;
    Ok(UserGreeted { user_id: user.user_id })
}

/// Or it says what becomes of the event.
pub async fn greet_adults(
    Event(user): Event<UserCreated>,
    metadata: Metadata,
    Attempt(attempt): Attempt,
) -> Result<Outcome, HandlerError> {
    println!("{} of {}, try {attempt}", metadata.id, metadata.time);
    Ok(match user.email.as_str() {
        "" => Outcome::Drop { reason: "there is nowhere to write to".into() },
        _ if attempt == 1 => Outcome::Retry { reason: "not before tomorrow".into() },
        _ => Outcome::Ack,
    })
}
// ANCHOR_END: outcomes

// ANCHOR: typed
use tidings::consumer::{Delivery, IntegrationEventHandler};

/// A handler that holds what it needs.
pub struct Greeter {
    pub mailer: Mailer,
}

impl IntegrationEventHandler<UserCreated> for Greeter {
    async fn handle(
        &self,
        event: UserCreated,
        delivery: &Delivery,
    ) -> Result<impl IntoOutcome, HandlerError> {
        println!("{} for group {}", delivery.metadata().id, delivery.group());
        self.mailer.send(&event.email).await?;
        Ok(())
    }
}
// ANCHOR_END: typed

// ANCHOR: build
pub fn consumer(mailer: Mailer, kafka: &Kafka) -> Result<Consumer, BoxError> {
    let consumer = Consumer::builder("email-service")
        .handle(welcome) // named after the function
        .handle_named("greet-again", greet)
        .handle(Greeter { mailer: mailer.clone() }) // named after the type
        .state(mailer)
        .order(Order::ByKey)
        .concurrency(64)
        .handler_timeout(Duration::from_secs(30))
        .topics(TopicSetup::Create { partitions: Some(6), replication: None })
        .build(kafka)?;
    Ok(consumer)
}
// ANCHOR_END: build

// ANCHOR: layers
use tower::limit::ConcurrencyLimitLayer;
use tower::timeout::TimeoutLayer;

/// tower layers go around every handler of a consumer; the first one is the outermost.
pub fn layered(mailer: Mailer, kafka: &Kafka) -> Result<Consumer, BoxError> {
    let consumer = Consumer::builder("slow-email-service")
        .handle(welcome)
        .state(mailer)
        .layer(ConcurrencyLimitLayer::new(4))
        .layer(TimeoutLayer::new(Duration::from_secs(5)))
        .build(kafka)?;
    Ok(consumer)
}
// ANCHOR_END: layers

// ANCHOR: hooks
/// Says which member of the process does what, and when the backlog is read.
pub fn watched(mailer: Mailer, kafka: &Kafka) -> Result<Consumer, BoxError> {
    let consumer = Consumer::builder("email-service")
        .handle(welcome)
        .state(mailer)
        .members(4)
        .restarts(3, Duration::from_secs(600))
        .on_assigned(|member, partitions| println!("member {member} has {} more", partitions.len()))
        .on_partition_end(|member, partition| println!("member {member} has read {partition}"))
        .on_error(|member, error| println!("member {member}: {error}"))
        .on_stopping(|member| println!("member {member} stops"))
        .build(kafka)?;
    Ok(consumer)
}
// ANCHOR_END: hooks

// ANCHOR: run
pub async fn run(consumer: Consumer, shutdown: impl Future<Output = ()>) -> Result<(), BoxError> {
    let running = consumer.start().await?;
    let status = running.status().clone(); // health, counters, pause and resume
    shutdown.await;
    let left = running.stop(Duration::from_secs(20)).await;
    println!("{} handled, {} unfinished", status.counts().handled(), left.unfinished.len());
    Ok(())
}
// ANCHOR_END: run

#[tokio::test]
async fn every_handler_of_a_consumer_takes_the_event() {
    let kafka = super::embedded("email-service");
    let mailer = Mailer::default();
    let consumer = consumer(mailer.clone(), &kafka).unwrap();
    let sent = mailer.0.clone();
    let all_three = async move {
        let publisher = Publisher::new(&kafka);
        super::topics::for_publisher(&kafka).await.unwrap();
        let user = UserCreated { user_id: Uuid::now_v7(), email: "ada@example.org".into() };
        publisher.publish(user).await.unwrap();
        while sent.lock().unwrap().len() < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), run(consumer, all_three)).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_consumer_with_layers_and_other_handlers_can_be_built() {
    let kafka = super::embedded("email-service");
    layered(Mailer::default(), &kafka).unwrap();
    reminding(Mailer::default(), &kafka).unwrap();
    let others = Consumer::builder("g").handle(greet).handle(greet_and_tell).handle(greet_adults);
    others.state(Mailer::default()).build(&kafka).unwrap();
}
