//! Topics at start (row 23).

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tidings::consumer::*;
use tidings::event::TopicName;
use tidings::retry::RetryPolicy;
use tidings::transport::kafka::Kafka;
use tidings::transport::{TopicDescription, Transport};

use crate::broker::OwnBroker;
use crate::events::*;
use crate::stage::*;
use crate::support::*;

/// What a start that cannot succeed may take: it gives a topic that it is told exists 10 s to appear.
const FAST: Duration = Duration::from_secs(15);

/// Two tiers, in a group of the event's own.
fn consumer_of<E: Numbered>(kafka: &Kafka, setup: TopicSetup) -> Consumer {
    Consumer::builder(named(E::TOPIC))
        .handle_named("ok", take::<E>)
        .retry(RetryPolicy::tiers([1, 2].map(Duration::from_secs)))
        .topics(setup)
        .build(kafka)
        .unwrap()
}

async fn start_fails(consumer: Consumer) -> String {
    let began = Instant::now();
    let error = consumer.start().await.err().expect("the start fails");
    assert!(began.elapsed() < FAST, "{:?}", began.elapsed());
    assert!(!error.is_retriable(), "{error}");
    error.to_string()
}

event!(Missing, "topics.missing");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_without_its_retry_topic_fails_fast_and_names_it() {
    let Some(broker) = kafka_address() else { return };
    let kafka = client("topics", &broker);
    let (main, tier) = (named(Missing::TOPIC), Missing::beside("retry.1s"));
    create_topics(
        &kafka,
        &[
            (&main, 2, false),
            (tier.as_str(), 2, true),
            (Missing::beside("dlq").as_str(), 1, false),
            (Missing::beside("quarantine").as_str(), 1, false),
        ],
    )
    .await;
    let error = start_fails(consumer_of::<Missing>(&kafka, TopicSetup::Verify)).await;
    let missing = Missing::beside("retry.2s");
    assert!(error.contains(&format!("{missing} is not there")), "{error}");
    assert!(!error.contains(&format!("{tier} ")), "only what is wrong is named: {error}");
}

event!(Few, "topics.few");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_with_too_few_partitions_in_a_retry_topic_fails_fast_and_names_it() {
    let Some(broker) = kafka_address() else { return };
    let kafka = client("topics", &broker);
    let (main, tier) = (named(Few::TOPIC), Few::beside("retry.2s"));
    create_topics(&kafka, &[(&main, 4, false), (tier.as_str(), 3, true)]).await;
    let missing = format!("{} is not there", Few::beside("retry.1s"));
    // What may create first: it makes nothing, so that the next one misses what was missing.
    for (setup, misses) in [(create(1), false), (TopicSetup::Verify, true)] {
        let error = start_fails(consumer_of::<Few>(&kafka, setup)).await;
        assert!(error.contains(&format!("{tier} has 3 partitions and {main} has 4")), "{error}");
        let advice = format!("`kafka-topics --alter --topic {tier} --partitions 4`");
        assert!(error.contains(&advice), "{error}");
        assert_eq!(error.contains(&missing), misses, "{error}");
    }
}

event!(Made, "topics.made");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_may_create_makes_tiers_like_their_main_topic_dead_letters_and_quarantine() {
    let Some(broker) = kafka_address() else { return };
    let kafka = client("topics", &broker);
    let create = TopicSetup::Create { partitions: Some(5), replication: Some(1) };
    let consumer = consumer_of::<Made>(&kafka, create);
    let names = consumer.topic_names();
    let began = Instant::now();
    let running = consumer.start().await.unwrap();
    println!("{} topics made in {:?}", names.len(), began.elapsed());
    stop(running).await;
    let tier = (5, Some(true), Some(1));
    let plain = (5, Some(false), Some(1));
    let expected = [
        (topic(Made::TOPIC), plain),
        (Made::beside("retry.1s"), tier),
        (Made::beside("retry.2s"), tier),
        (Made::beside("dlq"), plain),
        (Made::beside("quarantine"), plain),
    ];
    let (expected_names, expected): (Vec<TopicName>, Vec<_>) = expected.into_iter().unzip();
    assert_eq!(names, expected_names);
    let found = kafka.admin().describe(&names, SOON).await.unwrap().into_iter().map(|found| {
        let TopicDescription { partitions, append_time, replication, .. } = found.unwrap();
        (partitions, append_time, replication)
    });
    assert_eq!(found.collect::<Vec<_>>(), expected);
    // A second start finds all of it as it must be.
    let again = consumer_of::<Made>(&kafka, TopicSetup::Verify).start().await.unwrap();
    stop(again).await;
}

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

event!(Created, "topics.created");

// One thread, so that what is logged is logged here.
#[tokio::test]
async fn a_retry_topic_that_keeps_its_producers_time_is_reported_at_start() {
    let Some(broker) = kafka_address() else { return };
    let kafka = client("topics", &broker);
    let (main, tier) = (named(Created::TOPIC), Created::beside("retry.1s"));
    create_topics(&kafka, &[(&main, 1, false), (tier.as_str(), 1, false)]).await;
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::WARN)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let create = TopicSetup::Create { partitions: None, replication: None };
    let running = consumer_of::<Created>(&kafka, create).start().await.unwrap();
    drop(guard);
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let reported: Vec<_> =
        text.lines().filter(|line| line.contains("message.timestamp.type")).collect();
    assert_eq!(reported.len(), 1, "{text}");
    assert!(reported[0].contains(tier.as_str()), "{text}");
    stop(running).await;
}

event!(Denied, "topics.denied");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_is_denied_a_retry_topic_fails_fast_and_names_it() {
    let Some(broker) = OwnBroker::start(&[
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found=true",
    ])
    .await
    else {
        return;
    };
    let kafka: Kafka = client("topics", &broker.address);
    let create = create(1);
    let running = consumer_of::<Denied>(&kafka, create).start().await.unwrap();
    stop(running).await;
    let tier = Denied::beside("retry.2s");
    let deny = [
        "AclCommand",
        "--bootstrap-server",
        &broker.address,
        "--add",
        "--topic",
        tier.as_str(),
        "--deny-principal",
        "User:ANONYMOUS",
        "--operation",
        "All",
        "--force",
    ];
    broker.tool(&deny).await;
    for setup in [TopicSetup::Verify, create] {
        let error = start_fails(consumer_of::<Denied>(&kafka, setup)).await;
        assert!(error.contains(tier.as_str()), "{error}");
    }
}
