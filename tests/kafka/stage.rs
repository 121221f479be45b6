//! How tests make, start and stop their consumers.

use std::future::{Ready, ready};
use std::time::Duration;

use tidings::IntegrationEvent;
use tidings::consumer::*;
use tidings::retry::RetryPolicy;
use tidings::transport::kafka::Kafka;

use crate::events::{Numbered, Ran, named};
use crate::support::{SOON, Seen};

/// A consumer whose group is one of this run, with topics of so many partitions made if they are missing.
pub fn consumer(group: &str, partitions: i32) -> ConsumerBuilder {
    Consumer::builder(named(group)).topics(create(partitions))
}

/// Missing topics are made.
pub const fn create(partitions: i32) -> TopicSetup {
    TopicSetup::Create { partitions: Some(partitions), replication: None }
}

/// These tiers, and nothing in place.
pub fn tiers(tiers: impl IntoIterator<Item = Duration>) -> RetryPolicy {
    RetryPolicy::tiers(tiers).immediate(0)
}

/// A handler that takes what it gets.
pub async fn take<E: IntegrationEvent>(_: Event<E>) -> Result<(), HandlerError> {
    Ok(())
}

/// A handler that answers each call as `outcome` says.
pub fn answer<E: Numbered>(
    outcome: impl Fn(&Ran) -> Result<(), HandlerError> + Send + Sync + 'static,
) -> impl Fn(Event<E>, Delivery) -> Ready<Result<(), HandlerError>> {
    move |Event(event), delivery| ready(outcome(&Ran::new(event.n(), &delivery)))
}

/// A handler that notes its calls and answers each as `outcome` says.
pub fn note<E: Numbered>(
    seen: Seen<Ran>,
    outcome: impl Fn(&Ran) -> Result<(), HandlerError> + Send + Sync + 'static,
) -> impl Fn(Event<E>, Delivery) -> Ready<Result<(), HandlerError>> {
    answer(move |ran: &Ran| {
        seen.add(ran.clone());
        outcome(ran)
    })
}

/// An outcome: all is well.
pub fn done(_: &Ran) -> Result<(), HandlerError> {
    Ok(())
}

/// An outcome: the first attempt fails, what comes from a tier does not.
pub fn from_a_tier(ran: &Ran) -> Result<(), HandlerError> {
    match ran.attempt {
        1 => Err(HandlerError::transient("not yet")),
        _ => Ok(()),
    }
}

/// Builds a consumer and starts it; it may not have joined yet.
pub trait StartOn {
    async fn start_on(self, kafka: &Kafka) -> RunningConsumer;
}

impl StartOn for ConsumerBuilder {
    async fn start_on(self, kafka: &Kafka) -> RunningConsumer {
        self.build(kafka).unwrap().start().await.unwrap()
    }
}

/// Stops a consumer of which nothing is left unfinished.
pub async fn stop(running: RunningConsumer) {
    let report = running.stop(SOON).await;
    assert!(report.is_clean(), "{report:?}");
}
