//! Retry policies and topic names.

use std::time::Duration;

use tidings::consumer::Consumer;
use tidings::error::BoxError;
use tidings::retry::{Backoff, RetryPolicy, UnknownType};
use tidings::topic::TopicNaming;
use tidings::transport::kafka::Kafka;

use super::consuming::{Mailer, welcome};

// ANCHOR: policy
pub fn consumer(kafka: &Kafka) -> Result<Consumer, BoxError> {
    let tiers = [5, 60, 600].map(Duration::from_secs);
    let policy = RetryPolicy::tiers(tiers)
        .immediate(2) // in place, before the first tier and again at each
        .backoff(Backoff::exponential(Duration::from_millis(100)).cap(Duration::from_secs(1)).jitter(true));
    let consumer = Consumer::builder("email-service")
        .handle(welcome)
        .state(Mailer::default())
        .retry(policy)
        .naming(TopicNaming::default().dead_letter_suffix(".dead"))
        .unknown(UnknownType::Ignore)
        .build(kafka)?;
    Ok(consumer)
}
// ANCHOR_END: policy

#[tokio::test]
async fn names_and_tiers_are_those_of_the_policy() {
    let names: Vec<_> = consumer(&super::embedded("email-service"))
        .unwrap()
        .topic_names()
        .iter()
        .map(|name| name.as_str().replace("integration-events.user_created", ""))
        .collect();
    assert_eq!(names, ["", ".retry.5s", ".retry.1m", ".retry.10m", ".dead", ".quarantine"]);
    assert_eq!(RetryPolicy::default().longest_span().as_secs(), 666);
}
