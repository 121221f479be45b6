//! Views of state topics on a real Kafka: its compaction, its restarts, its topics that change.

#[path = "../support/state.rs"]
mod topic;

use std::time::{Duration, Instant};

use tidings::event::TopicName;
use tidings::producer::{Message, Producer};
use tidings::state::{AnyTopic, StateChange, StateView, StateWriter};
use tidings::transport::kafka::Kafka;
use tidings::transport::{NewTopic, Transport};

use self::topic::{UserProfile, held, json, profile, send};
use crate::broker::OwnBroker;
use crate::events::*;
use crate::support::*;

type View = StateView<AnyTopic, UserProfile>;

/// A compacted topic of one test, with further properties.
async fn create(
    kafka: &Kafka,
    name: &str,
    partitions: i32,
    properties: &[(&str, &str)],
) -> TopicName {
    let topic = topic(name);
    let compact = [("cleanup.policy", "compact")];
    let all = compact.iter().chain(properties);
    let new = NewTopic {
        partitions: Some(partitions),
        replication: Some(1),
        configuration: all.map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        ..NewTopic::new(topic.clone())
    };
    kafka.admin().create(&[new], SOON).await.unwrap();
    let there = async || {
        kafka.admin().describe(std::slice::from_ref(&topic), SOON).await.unwrap()[0].is_some()
    };
    while !there().await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    topic
}

async fn start(kafka: &Kafka, topic: &TopicName) -> View {
    let view = StateView::named(topic.clone()).start(kafka).await.unwrap();
    tokio::time::timeout(SOON, view.caught_up()).await.expect("it catches up").unwrap();
    view
}

async fn put(kafka: &Kafka, topic: &TopicName, key: &str, n: u32) {
    send(kafka, topic, None, Some(key), json(key, n)).await;
}

fn writer(kafka: &Kafka, topic: &TopicName) -> StateWriter<AnyTopic, UserProfile> {
    StateWriter::named(Producer::new(kafka), topic.clone())
}

/// Writes, and waits until the view has it.
async fn put_seen(kafka: &Kafka, topic: &TopicName, view: &View, key: &str, n: u32) {
    let at = writer(kafka, topic).put(key, &profile(key, n)).await.unwrap();
    let reached = view.reached(&at);
    tokio::time::timeout(SOON, reached).await.expect("it is read").unwrap();
    assert_eq!(view.get(key).unwrap().n, n);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_catches_up_on_an_empty_topic_then_follows_values_and_tombstones() {
    let Some(broker) = kafka_address() else { return };
    let kafka = client("state", &broker);
    let topic = crate::events::topic("state.follow");
    let view = View::named(topic.clone()).topics(crate::stage::create(3)).start(&kafka).await;
    let view = view.unwrap();
    tokio::time::timeout(SOON, view.caught_up()).await.expect("it catches up").unwrap();
    assert!(view.is_empty() && view.status().is_ready(), "{:?}", view.status().problems());
    for n in 0..30 {
        put_seen(&kafka, &topic, &view, &format!("k{n}"), n).await;
    }
    let gone = writer(&kafka, &topic).remove("k7").await.unwrap();
    view.reached(&gone).await.unwrap();
    assert_eq!((view.get("k7"), view.len(), view.lag(SOON).await.unwrap()), (None, 29, 0));
    assert_eq!(held(&start(&kafka, &topic).await), held(&view));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_deletes_what_is_old_is_refused_as_a_state_topic() {
    let Some(broker) = kafka_address() else { return };
    let kafka = client("state", &broker);
    let name = crate::events::topic("state.deletes");
    create_topics(&kafka, &[(name.as_str(), 1, false)]).await;
    let error = View::named(name.clone()).start(&kafka).await.unwrap_err().to_string();
    let expected = format!("{name} has cleanup.policy delete and compact is declared");
    assert!(error.contains(&expected), "{error}");
    let missing = crate::events::topic("state.missing");
    let error = View::named(missing.clone()).start(&kafka).await.unwrap_err().to_string();
    assert!(error.contains(&format!("{missing} is not there")), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_broker_has_compacted_away_is_not_missed() {
    let Some(broker) = OwnBroker::start(&["log.cleaner.backoff.ms=200"]).await else { return };
    let kafka = client("state", &broker.address);
    let eager = [
        ("segment.ms", "200"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("delete.retention.ms", "100"),
        ("max.compaction.lag.ms", "200"),
    ];
    let topic = create(&kafka, "state.compacted", 2, &eager).await;
    for n in 0..400 {
        put(&kafka, &topic, &format!("k{}", n % 10), n).await;
    }
    send(&kafka, &topic, None, Some("k3"), None).await;
    let expected: Vec<_> =
        (0..10).filter(|n| *n != 3).map(|n| (format!("k{n}"), 390 + n)).collect();
    // Each look writes, since the segment that is written to is never cleaned.
    let mut looks = 0;
    let read = loop {
        put(&kafka, &topic, "k0", 390).await;
        let view = start(&kafka, &topic).await;
        assert_eq!(held(&view), expected);
        let counts = view.status().counts();
        if counts.values() < 100 {
            break counts.values();
        }
        looks += 1;
        assert!(looks < 100, "the broker does not compact: {counts:?}");
        tokio::time::sleep(Duration::from_millis(300)).await;
    };
    println!("{read} values were left of more than 400");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_goes_on_after_a_restart_of_the_broker_and_says_so_meanwhile() {
    let Some(broker) = OwnBroker::start(&[]).await else { return };
    let kafka = client("state", &broker.address);
    let topic = create(&kafka, "state.restart", 2, &[]).await;
    put(&kafka, &topic, "a", 1).await;
    let view = start(&kafka, &topic).await;
    broker.kill().await;
    let told =
        || view.status().problems().iter().any(|problem| problem.contains("reading has failed"));
    eventually("the view says that reading fails", SOON, told).await;
    assert_eq!(view.get("a").unwrap().n, 1, "what was read stays");
    broker.start_again().await;
    eventually("the view is ready again", SOON, || view.status().is_ready()).await;
    put_seen(&kafka, &topic, &view, "a", 2).await;
    put_seen(&kafka, &topic, &view, "b", 3).await;
    assert_eq!(view.status().counts().begun_anew(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_reads_partitions_that_are_added_and_begins_anew_with_a_topic_that_is_made_anew() {
    let Some(broker) = OwnBroker::start(&[]).await else { return };
    let kafka = client("state", &broker.address);
    let topic = create(&kafka, "state.anew", 1, &[]).await;
    for n in 0..20 {
        put(&kafka, &topic, &format!("k{n}"), n).await;
    }
    let view = start(&kafka, &topic).await;
    let tool = ["TopicCommand", "--bootstrap-server", &broker.address, "--topic", topic.as_str()];
    broker.tool(&[&tool[..], &["--alter", "--partitions", "3"]].concat()).await;
    // A client that has not asked for the topic before knows of its partitions.
    let other = client("writer", &broker.address);
    send(&other, &topic, Some(2), Some("added"), json("added", 1)).await;
    let long = Duration::from_secs(60);
    eventually("the new partition is read", long, || view.get("added").is_some()).await;
    assert_eq!(view.len(), 21);
    broker.tool(&[&tool[..], &["--delete"]].concat()).await;
    create(&kafka, "state.anew", 1, &[]).await;
    let other = client("writer", &broker.address);
    put(&other, &topic, "new", 1).await;
    let anew = || held(&view) == [("new".to_owned(), 1)] && view.status().is_ready();
    eventually("the view begins anew", long, anew).await;
    assert_eq!(view.status().counts().begun_anew(), 1);
    put_seen(&other, &topic, &view, "newer", 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_under_a_constant_load_is_level_in_the_end_and_never_begins_anew() {
    let Some(broker) = kafka_address() else { return };
    let kafka = client("state", &broker);
    let topic = create(&kafka, "state.load", 3, &[]).await;
    let view = start(&kafka, &topic).await;
    let producer = Producer::new(&kafka);
    // Longer than the view takes to look at its topic several times.
    let (began, mut n) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(14) {
        for _ in 0..50 {
            let message = Message::new(topic.clone(), &profile("load", n)).unwrap();
            producer.send_and_forget(message.key(format!("k{}", n % 100))).await.unwrap();
            n += 1;
        }
        tokio::task::yield_now().await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let level = || producer.counts().acknowledged() == u64::from(n);
    eventually("all is acknowledged", SOON, level).await;
    let read = || view.status().counts().values() == u64::from(n);
    eventually("all is read", SOON, read).await;
    assert_eq!(view.status().counts().begun_anew(), 0);
    assert_eq!((view.len(), view.status().problems()), (100, vec![]));
    assert_eq!(held(&view).iter().map(|(_, n)| *n).max(), Some(n - 1));
    println!("{n} records in {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_was_gone_and_comes_back_with_more_records_than_were_read_is_read_anew() {
    let Some(broker) = OwnBroker::start(&[]).await else { return };
    let kafka = client("state", &broker.address);
    let topic = create(&kafka, "state.longer", 1, &[]).await;
    for n in 0..5 {
        put(&kafka, &topic, &format!("old{n}"), n).await;
    }
    let view = start(&kafka, &topic).await;
    assert_eq!(view.len(), 5);
    let tool = ["TopicCommand", "--bootstrap-server", &broker.address, "--topic", topic.as_str()];
    broker.tool(&[&tool[..], &["--delete"]].concat()).await;
    let long = Duration::from_secs(60);
    let gone = || view.status().problems().iter().any(|p| p.contains("is not there any more"));
    eventually("the view says that it is gone", long, gone).await;
    assert_eq!(view.len(), 5, "it answers what it held");
    create(&kafka, "state.longer", 1, &[]).await;
    let other = client("writer", &broker.address);
    for n in 0..20 {
        put(&other, &topic, &format!("new{n:02}"), n).await;
    }
    let new: Vec<_> = (0..20).map(|n| (format!("new{n:02}"), n)).collect();
    let anew = || held(&view) == new && view.status().is_ready();
    eventually("the view holds what the new topic holds", long, anew).await;
    assert_eq!(view.status().counts().begun_anew(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_made_anew_with_more_records_than_were_read_within_seconds_is_read_anew() {
    let Some(broker) = kafka_address() else { return };
    let kafka = client("state", &broker);
    let topic = create(&kafka, "state.hurried", 1, &[]).await;
    for n in 0..5 {
        put(&kafka, &topic, &format!("old{n}"), n).await;
    }
    let view = start(&kafka, &topic).await;
    let mut changes = view.changes();
    assert_eq!(view.len(), 5);
    crate::inspect::delete(&kafka, &broker, &[&topic]).await;
    create(&kafka, "state.hurried", 1, &[]).await;
    let other = client("writer", &broker);
    for n in 0..20 {
        put(&other, &topic, &format!("new{n:02}"), n).await;
    }
    let new: Vec<_> = (0..20).map(|n| (format!("new{n:02}"), n)).collect();
    let anew = || held(&view) == new && view.status().is_ready();
    eventually("the view holds what the new topic holds", Duration::from_secs(60), anew).await;
    let told = async { while !matches!(changes.next().await, Some(StateChange::Cleared)) {} };
    tokio::time::timeout(SOON, told).await.expect("it is told that the view began anew");
    put_seen(&other, &topic, &view, "newer", 2).await;
}
