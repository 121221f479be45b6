//! Topics at start.

use std::time::Duration;

use tidings::consumer::{Consumer, TopicSetup};
use tidings::error::BoxError;
use tidings::publisher::Publisher;
use tidings::topic::{LogicalTopics, Profile, TopicKind, TopicSpec};
use tidings::transport::kafka::Kafka;
use tidings::transport::{TopicNeed, TopicsError};

use super::consuming::{Mailer, welcome};
use super::contracts::UserCreated;

// ANCHOR: typed
use serde::{Deserialize, Serialize};
use tidings::{IntegrationEvent, Topic};

/// All that happens to accounts. What it does not list is not published to it: that does not compile.
#[derive(Topic)]
#[topic(
    kind = event,
    name = "crm.accounts.v1",
    carries(AccountOpened, AccountClosed),
    partitions = 6,
    replication = auto,
    retention = "30d"
)]
pub struct Accounts;

#[derive(Serialize, Deserialize, IntegrationEvent)]
#[event(key = id, topic = Accounts)]
pub struct AccountOpened {
    pub id: String,
}

#[derive(Serialize, Deserialize, IntegrationEvent)]
#[event(key = id, topic = Accounts)]
pub struct AccountClosed {
    pub id: String,
}
// ANCHOR_END: typed

// ANCHOR: declared
/// Makes what the events of accounts are published to, as it is declared.
pub async fn for_accounts(kafka: &Kafka) -> Result<(), TopicsError> {
    let setup = TopicSetup::Create { partitions: None, replication: None };
    let needs = TopicNeed::of::<AccountOpened>();
    Publisher::prepare_topics(kafka, needs, setup, Duration::from_secs(30)).await
}
// ANCHOR_END: declared

// ANCHOR: logical
/// Topics whose names the environment says: `KAFKA_TOPIC_STAGE_COMPLETE=prod.stage.complete`.
pub fn stages() -> Result<[TopicSpec; 2], BoxError> {
    let names = LogicalTopics::from_env(["stage_complete", "stage_failed"])?;
    let complete = TopicSpec::new(names.get("stage_complete")?.clone(), TopicKind::Event);
    let failed = TopicSpec::new(names.get("stage_failed")?.clone(), TopicKind::Event);
    Ok([complete.partitions(12), failed.profile(Profile::error())])
}
// ANCHOR_END: logical

// ANCHOR: publisher
/// Makes the topics that this service publishes to, where they are missing.
pub async fn for_publisher(kafka: &Kafka) -> Result<(), TopicsError> {
    let setup = TopicSetup::Create { partitions: Some(6), replication: None };
    let needs = TopicNeed::of::<UserCreated>();
    Publisher::prepare_topics(kafka, needs, setup, Duration::from_secs(30)).await
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
async fn a_declared_topic_is_made_and_its_events_are_published() {
    let kafka = super::embedded("accounts");
    for_accounts(&kafka).await.unwrap();
    let publisher = Publisher::new(&kafka);
    publisher.publish(AccountOpened { id: "1".into() }).await.unwrap();
    publisher.publish_to(Accounts, AccountClosed { id: "1".into() }).await.unwrap();
    assert_eq!(AccountOpened::topics(), AccountClosed::topics());
}

#[test]
fn names_that_the_environment_does_not_say_are_all_listed() {
    let error = stages().unwrap_err().to_string();
    assert!(error.contains("KAFKA_TOPIC_STAGE_COMPLETE is not set"), "{error}");
    assert!(error.contains("KAFKA_TOPIC_STAGE_FAILED is not set"), "{error}");
}

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
