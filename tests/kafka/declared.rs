//! Topics that are declared, on a real broker: made as they are declared, compared with what is there.

use std::collections::BTreeMap;

use tidings::consumer::*;
use tidings::error::chain;
use tidings::event::TopicName;
use tidings::publisher::Publisher;
use tidings::topic::{Replication, Retention, TopicKind, TopicSpec};
use tidings::transport::kafka::Kafka;
use tidings::transport::{NewTopic, TopicDescription, Transport};

use crate::events::*;
use crate::stage::*;
use crate::support::*;

const CREATE: TopicSetup = TopicSetup::Create { partitions: None, replication: None };

fn spec<E: Numbered>(kind: TopicKind) -> TopicSpec {
    TopicSpec::new(topic(E::TOPIC), kind).replication(Replication::Auto)
}

fn consumer_of<E: Numbered>(setup: TopicSetup, spec: TopicSpec) -> ConsumerBuilder {
    Consumer::builder(named(E::TOPIC))
        .handle_named("ok", take::<E>)
        .retry(tiers([std::time::Duration::from_secs(1)]))
        .topics(setup)
        .declare([spec])
}

async fn described(kafka: &Kafka, name: &TopicName) -> TopicDescription {
    let names = std::slice::from_ref(name);
    kafka.admin().describe(names, SOON).await.unwrap().remove(0).expect("the topic is there")
}

fn properties(found: &TopicDescription) -> BTreeMap<&str, &str> {
    let set = found.configuration.iter().filter(|(_, property)| property.set);
    set.map(|(name, property)| (name.as_str(), property.value.as_str())).collect()
}

event!(Spoken, "declared.made");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_declared_topic_and_those_beside_it_are_made_with_their_properties() {
    let Some(broker) = kafka_address() else { return };
    let kafka = client("declared", &broker);
    let spec = spec::<Spoken>(TopicKind::Event)
        .partitions(4)
        .retention(Retention::from_static("3d"))
        .property("segment.ms", "3600000");
    let running = consumer_of::<Spoken>(CREATE, spec.clone()).start_on(&kafka).await;
    stop(running).await;
    let main = described(&kafka, spec.name()).await;
    // One broker: one copy, and no more than one can be in sync.
    assert_eq!((main.partitions, main.replication), (4, Some(1)));
    let expected = [
        ("cleanup.policy", "delete"),
        ("compression.type", "snappy"),
        ("min.insync.replicas", "1"),
        ("retention.ms", "259200000"),
        ("segment.ms", "3600000"),
    ];
    assert_eq!(properties(&main), BTreeMap::from(expected));
    let tier = described(&kafka, &Spoken::beside("retry.1s")).await;
    assert_eq!((tier.partitions, tier.append_time), (4, Some(true)));
    assert_eq!(properties(&tier)["retention.ms"], "259200000");
    for beside in ["dlq", "quarantine"] {
        let found = described(&kafka, &Spoken::beside(beside)).await;
        assert_eq!((found.partitions, properties(&found)["retention.ms"]), (1, "2592000000"));
    }
    let again = consumer_of::<Spoken>(TopicSetup::Verify, spec).start_on(&kafka).await;
    stop(again).await;
}

event!(Differs, "declared.differs");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_not_as_declared_fails_the_start_with_a_table_and_is_not_changed() {
    let Some(broker) = kafka_address() else { return };
    let kafka = client("declared", &broker);
    let name = topic(Differs::TOPIC);
    let there = NewTopic {
        partitions: Some(2),
        replication: Some(1),
        configuration: [("retention.ms".into(), "3600000".into())].into(),
        ..NewTopic::new(name.clone())
    };
    kafka.admin().create(&[there], SOON).await.unwrap();
    let spec = spec::<Differs>(TopicKind::State).partitions(6);
    for setup in [CREATE, TopicSetup::Verify] {
        let consumer = consumer_of::<Differs>(setup, spec.clone()).build(&kafka).unwrap();
        let error = consumer.start().await.err().expect("the start fails");
        assert!(!error.is_retriable(), "{error}");
        let text = chain(&error);
        assert!(text.contains("has 2 partitions and 6 are declared"), "{text}");
        assert!(text.contains("has cleanup.policy delete and compact is declared"), "{text}");
        let rows: Vec<_> = text
            .lines()
            .skip(1)
            .map(|line| line.split_whitespace().skip(1).collect::<Vec<_>>())
            .collect();
        assert!(rows.contains(&vec!["setting", "declared", "is"]), "{text}");
        assert!(rows.contains(&vec!["partitions", "6", "2"]), "{text}");
        assert!(rows.contains(&vec!["cleanup.policy", "compact", "delete"]), "{text}");
    }
    let found = described(&kafka, &name).await;
    assert_eq!(
        (found.partitions, properties(&found)),
        (2, BTreeMap::from([("retention.ms", "3600000")]))
    );
}

event!(Copied, "declared.copies");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_copies_than_the_cluster_has_brokers_are_an_error_and_nothing_is_made() {
    let Some(broker) = kafka_address() else { return };
    let kafka = client("declared", &broker);
    let three = TopicSpec::new(topic(Copied::TOPIC), TopicKind::Event);
    let result = Publisher::prepare_topics(&kafka, [three.clone()], CREATE, SOON).await;
    let error = result.unwrap_err().to_string();
    assert!(error.contains("wants 3 copies and the cluster has 1 broker"), "{error}");
    assert!(error.contains("replication = auto"), "{error}");
    assert!(!kafka.admin().topics(SOON).await.unwrap().contains(three.name()));
}
