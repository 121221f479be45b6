//! Declared topics at start: made as they are declared, compared with what is there.

use std::io::Write;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use tidings::consumer::{Consumer, ConsumerBuilder, Event, HandlerError, StartError};
use tidings::error::chain;
use tidings::event::TopicName;
use tidings::publisher::Publisher;
use tidings::retry::RetryPolicy;
use tidings::topic::{Replication, TopicKind, TopicSpec};
use tidings::transport::memory::{Memory, MemoryBroker};
use tidings::transport::{NewTopic, TopicNeed, TopicProblem, TopicSetup, TopicsError, Transport};
use tidings::{IntegrationEvent, Topic};

use crate::stage::secs;

#[derive(Topic)]
#[topic(
    kind = event,
    name = "users",
    carries(UserCreated),
    partitions = 6,
    retention = "3d",
    compression = zstd,
    properties("segment.bytes" = "1000000")
)]
struct Users;

#[derive(Serialize, Deserialize, IntegrationEvent)]
#[event(key = id, topic = Users)]
struct UserCreated {
    id: String,
}

#[derive(Topic)]
#[topic(kind = state, name = "people", carries(UserCreated), profile = small)]
struct People;

fn small() -> tidings::topic::Profile {
    let mut profile = tidings::topic::Profile::error();
    profile.settings.replication = Some(Replication::Auto);
    profile
}

const CREATE: TopicSetup = TopicSetup::Create { partitions: None, replication: None };

fn consumer(setup: TopicSetup) -> ConsumerBuilder {
    Consumer::builder("mailer")
        .handle_named("mail", |_: Event<UserCreated>| async { Ok::<_, HandlerError>(()) })
        .retry(RetryPolicy::tiers([secs(5)]))
        .topics(setup)
}

async fn start(client: &Memory, consumer: ConsumerBuilder) -> Result<(), StartError> {
    let running = consumer.build(client).unwrap().start().await?;
    assert!(running.stop(secs(1)).await.is_clean());
    Ok(())
}

/// What is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn client() -> Memory {
    MemoryBroker::new().client("shop").unwrap()
}

/// What a topic has of these properties; `-` where it has none.
async fn described(client: &Memory, topic: &str) -> (i32, i32, String, String, String) {
    let name = TopicName::new(topic).unwrap();
    let found = client.admin().describe(&[name], secs(1)).await.unwrap().remove(0).unwrap();
    let property = |name: &str| {
        found.configuration.get(name).map_or_else(|| "-".into(), |property| property.value.clone())
    };
    let policy = property("cleanup.policy");
    let (kept, compression) = (property("retention.ms"), property("compression.type"));
    (found.partitions, found.replication.unwrap(), policy, kept, compression)
}

fn days(days: u64) -> String {
    (days * 86_400_000).to_string()
}

#[tokio::test(start_paused = true)]
async fn what_a_type_declares_is_what_is_made_with_all_that_lies_beside_it() {
    let client = client();
    start(&client, consumer(CREATE)).await.unwrap();
    let (delete, zstd) = ("delete".to_owned(), "zstd".to_owned());
    let main = (6, 3, delete.clone(), days(3), zstd.clone());
    assert_eq!(described(&client, "users").await, main);
    assert_eq!(described(&client, "users.retry.5s").await, main);
    let letters = (1, 3, delete, days(30), "snappy".to_owned());
    assert_eq!(described(&client, "users.dlq").await, letters);
    assert_eq!(described(&client, "users.quarantine").await, letters);
    // A second start finds all of it as it is declared.
    start(&client, consumer(TopicSetup::Verify)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_loses_what_is_counted_on_fails_the_start_with_a_table_and_stays_as_it_is() {
    let client = client();
    let mut users = NewTopic::new(Users::NAME);
    users.partitions = Some(3);
    users.configuration = [("cleanup.policy".into(), "compact".into())].into();
    client.admin().create(&[users], secs(1)).await.unwrap();
    for setup in [CREATE, TopicSetup::Verify] {
        let error = chain(&start(&client, consumer(setup)).await.unwrap_err());
        for line in [
            "users has 3 partitions and 6 are declared",
            "users has cleanup.policy compact and delete is declared",
            "topic  setting              declared   is",
            "users  partitions           6          3",
            "users  cleanup.policy       delete     compact",
            "users  compression.type     zstd       (unknown)",
        ] {
            assert!(error.contains(line), "{line:?} is not in:\n{error}");
        }
    }
    assert_eq!(described(&client, "users").await.2, "compact");
    start(&client, consumer(TopicSetup::Off)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn differences_that_lose_nothing_are_logged_as_a_table_and_do_not_stop_a_start() {
    let client = client();
    let mut users = NewTopic::new(Users::NAME);
    users.partitions = Some(9);
    client.admin().create(&[users], secs(1)).await.unwrap();
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::WARN)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    start(&client, consumer(CREATE)).await.unwrap();
    drop(guard);
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    for line in ["stay as they are", "topic  setting", "users  partitions           6          9\n"]
    {
        assert!(text.contains(line), "{line:?} is not in:\n{text}");
    }
    assert_eq!(described(&client, "users").await.0, 9);
    assert_eq!(described(&client, "users.retry.5s").await.0, 9);
}

#[tokio::test(start_paused = true)]
async fn more_copies_than_brokers_fail_the_start_before_anything_is_made() {
    let client = client();
    let four = Users::spec().replication(Replication::Factor(4));
    let consumer = consumer(CREATE).declare([four]);
    let error = chain(&start(&client, consumer).await.unwrap_err());
    assert!(error.contains("topic users") && error.contains("replication = auto"), "{error}");
    assert!(client.admin().topics(secs(1)).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_topic_beside_a_main_topic_can_be_declared_otherwise() {
    let client = client();
    let letters = TopicName::from_static("users.dlq");
    let letters = TopicSpec::new(letters, TopicKind::Event).partitions(2);
    start(&client, consumer(CREATE).declare([letters])).await.unwrap();
    let found = described(&client, "users.dlq").await;
    assert_eq!((found.0, found.3), (2, days(7)));
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_makes_what_is_looked_for_makes_it_as_it_is_declared() {
    let broker = MemoryBroker::builder().create_when_asked(true).build();
    let client = broker.client("shop").unwrap();
    for setup in [TopicSetup::Verify, CREATE] {
        start(&client, consumer(setup)).await.unwrap();
        assert_eq!(described(&client, "users").await.0, 6);
        assert_eq!(described(&client, "users.retry.5s").await.0, 6);
        assert_eq!(described(&client, "users.dlq").await.0, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_publisher_makes_what_its_events_declare() {
    let client = client();
    let needs = TopicNeed::of::<UserCreated>();
    Publisher::prepare_topics(&client, needs, CREATE, secs(5)).await.unwrap();
    assert_eq!(described(&client, "users").await.0, 6);
    Publisher::prepare_topics(&client, [People::spec()], CREATE, secs(5)).await.unwrap();
    let people = described(&client, "people").await;
    assert_eq!((people.0, people.1, people.2.as_str()), (1, 3, "compact"));
}

#[tokio::test(start_paused = true)]
async fn declarations_that_contradict_or_collide_are_all_named_before_the_broker_is_asked() {
    let client = client();
    let spec = |name: &'static str| TopicSpec::new(TopicName::from_static(name), TopicKind::Event);
    let wrong =
        [spec("a.b"), spec("a_b"), spec("c").partitions(1), spec("c"), spec("d").partitions(0)];
    let error = Publisher::prepare_topics(&client, wrong, CREATE, secs(5)).await.unwrap_err();
    assert!(matches!(error, TopicsError::Declared { .. }));
    let text = error.to_string();
    for problem in ["a.b and a_b differ", "c is declared twice", "`partitions` is 0"] {
        assert!(text.contains(problem), "{problem:?} is not in: {text}");
    }
    assert!(client.admin().topics(secs(1)).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_event_is_published_to_another_topic_that_carries_it() {
    let client = client();
    let topics = [Users::spec(), People::spec()];
    Publisher::prepare_topics(&client, topics, CREATE, secs(5)).await.unwrap();
    let publisher = Publisher::new(&client);
    publisher.publish(UserCreated { id: "1".into() }).await.unwrap();
    publisher.publish_to(People, UserCreated { id: "2".into() }).await.unwrap();
    for (topic, payload) in [(Users::NAME, r#"{"id":"1"}"#), (People::NAME, r#"{"id":"2"}"#)] {
        let records = client.broker().records(&topic);
        assert_eq!(records.len(), 1);
        assert_eq!(records[0].payload.as_deref(), Some(payload.as_bytes()));
    }
}

/// The topics that there are.
async fn names(client: &Memory) -> Vec<String> {
    let names = client.admin().topics(secs(1)).await.unwrap();
    names.iter().map(ToString::to_string).collect()
}

/// A consumer of an event whose topic nobody declares.
fn undeclared(setup: TopicSetup) -> ConsumerBuilder {
    #[derive(Serialize, Deserialize, IntegrationEvent)]
    #[event(key = id, topic = "orders")]
    struct OrderPlaced {
        id: String,
    }
    Consumer::builder("mailer")
        .handle_named("mail", |_: Event<OrderPlaced>| async { Ok::<_, HandlerError>(()) })
        .retry(RetryPolicy::tiers([secs(5)]))
        .topics(setup)
}

async fn make(client: &Memory, name: &'static str, partitions: i32) {
    let mut new = NewTopic::new(TopicName::from_static(name));
    new.partitions = Some(partitions);
    client.admin().create(&[new], secs(1)).await.unwrap();
}

async fn refused(client: &Memory, consumer: ConsumerBuilder) -> TopicsError {
    match start(client, consumer).await.unwrap_err() {
        StartError::Topics(error) => error,
        other => panic!("{other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn where_something_that_is_there_is_wrong_nothing_is_made_and_each_problem_has_its_own_advice()
 {
    let client = client();
    make(&client, "users", 3).await;
    make(&client, "users.retry.5s", 2).await;
    let error = refused(&client, consumer(CREATE)).await;
    assert_eq!(names(&client).await, ["users", "users.retry.5s"]);
    let TopicsError::NotAsNeeded { problems, .. } = &error else { panic!("{error}") };
    assert_eq!(problems.len(), 2, "{problems:?}");
    let text = error.to_string();
    for what in [
        "users has 3 partitions and 6 are declared (`kafka-topics --alter --topic users --partitions 6`",
        "keys move to other partitions",
        "users.retry.5s has 2 partitions and users has 3; a retry topic needs as many as its main topic \
         (`kafka-topics --alter --topic users.retry.5s --partitions 3`",
        "no key moves",
    ] {
        assert!(text.contains(what), "{what:?} is not in:\n{text}");
    }
    assert!(!text.contains("TopicSetup") && !text.contains("create-topics"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_retry_topic_that_is_too_small_for_the_main_topic_that_would_be_made_stops_both() {
    let few = TopicSetup::Create { partitions: Some(4), replication: None };
    for (tier, consumer, needed) in [
        ("users.retry.5s", consumer(CREATE), "users has 6"),
        ("orders.retry.5s", undeclared(few), "orders has 4"),
    ] {
        let client = client();
        make(&client, tier, 2).await;
        let text = refused(&client, consumer).await.to_string();
        assert!(text.contains(&format!("{tier} has 2 partitions and {needed}")), "{text}");
        assert_eq!(names(&client).await, [tier]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_brokers_own_default_made_wrong_is_told_with_what_was_made() {
    let client = client();
    make(&client, "orders.retry.5s", 2).await;
    let error = refused(&client, undeclared(CREATE)).await;
    let TopicsError::NotAsMade { made, problems, .. } = &error else { panic!("{error}") };
    let made: Vec<_> = made.iter().map(TopicName::as_str).collect();
    assert_eq!(made, ["orders", "orders.dlq", "orders.quarantine"]);
    let [TopicProblem::FewerThanMain { is: 2, needed: 3, .. }] = &**problems else {
        panic!("{problems:?}")
    };
    assert!(
        error.to_string().starts_with("orders orders.dlq orders.quarantine made, and"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn topics_that_are_missing_are_named_with_what_makes_them_said_once() {
    let client = client();
    make(&client, "users", 6).await;
    let text = refused(&client, consumer(TopicSetup::Verify)).await.to_string();
    // A table of what can be lived with comes behind it.
    assert_eq!(
        text.lines().next().unwrap(),
        "the topics are not as they must be: users.dlq is not there; users.quarantine is not there; users.retry.5s is \
         not there (create what is missing: `create-topics` of the service's own command line does, or a start with \
         `TopicSetup::Create`)"
    );
    assert_eq!(names(&client).await, ["users"]);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_makes_what_is_looked_for_makes_nothing_beside_what_is_wrong() {
    for setup in [TopicSetup::Verify, CREATE] {
        let broker = MemoryBroker::builder().create_when_asked(true).build();
        let client = broker.client("shop").unwrap();
        make(&client, "users", 3).await;
        let text = refused(&client, consumer(setup)).await.to_string();
        assert!(text.contains("users has 3 partitions and 6 are declared"), "{text}");
        assert_eq!(names(&client).await, ["users"]);
    }
}
