//! Topics at start.

use std::time::Duration;

use tidings::consumer::{Consumer, TopicSetup};
use tidings::error::BoxError;
use tidings::event::IntegrationEvent;
use tidings::publisher::Publisher;
use tidings::transport::TopicsError;
use tidings::transport::kafka::Kafka;

use super::consuming::{Mailer, welcome};
use super::contracts::UserCreated;

// ANCHOR: publisher
/// Makes the topics that this service publishes to, where they are missing.
pub async fn for_publisher(kafka: &Kafka) -> Result<(), TopicsError> {
    let setup = TopicSetup::Create { partitions: Some(6), replication: None };
    Publisher::prepare_topics(kafka, UserCreated::topics(), setup, Duration::from_secs(30)).await
}
// ANCHOR_END: publisher

// ANCHOR: names
/// Every topic that a consumer reads or writes: for whoever makes topics elsewhere.
pub fn names(kafka: &Kafka) -> Result<Vec<String>, BoxError> {
    let consumer = Consumer::builder("email-service")
        .handle(welcome)
        .state(Mailer::default())
        .topics(TopicSetup::Verify) // the default: the start fails and names what is missing
        .build(kafka)?;
    Ok(consumer.topic_names().iter().map(ToString::to_string).collect())
}
// ANCHOR_END: names

#[tokio::test]
async fn a_consumer_says_which_topics_it_needs_and_misses_them_at_its_start() {
    let kafka = super::embedded("email-service");
    assert_eq!(
        names(&kafka).unwrap(),
        [
            "integration-events.user_created",
            "integration-events.user_created.retry.5s",
            "integration-events.user_created.retry.1m",
            "integration-events.user_created.retry.10m",
            "integration-events.user_created.dlq",
            "integration-events.user_created.quarantine",
        ]
    );
    let consumer = Consumer::builder("email-service").handle(welcome).state(Mailer::default());
    let error = consumer.build(&kafka).unwrap().start().await.err().unwrap();
    let text = tidings::error::chain(&error);
    assert!(text.contains("integration-events.user_created.retry.1m is not there"), "{text}");
}
