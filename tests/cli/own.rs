//! What the commands know in a binary of one's own: the topics that it needs, and what its groups read.

use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use tidings::IntegrationEvent;
use tidings::cli::App;
use tidings::consumer::{HandlerError, Value};
use tidings::event::TopicName;
use tidings::retry::RetryPolicy;
use tidings::topic::{Replication, TopicKind, TopicSpec};
use tidings::worker::Worker;

use crate::run::*;
use crate::support::unique;

/// The topic that its worker reads.
const TOPIC: &str = "TIDINGS_TEST_CLI_OWN_TOPIC";

#[derive(Serialize, Deserialize, IntegrationEvent)]
#[event(key = id, topic = "cli-own-noted")]
struct Noted {
    id: String,
}

fn app() -> App {
    let topic = TopicName::new(std::env::var(TOPIC).unwrap()).unwrap();
    let group = format!("group-of-{topic}");
    let spec = TopicSpec::new(topic, TopicKind::Event).replication(Replication::Auto).partitions(3);
    App::new("site").topics([spec.clone()]).publishes::<Noted>().worker("reads", move |kafka| {
        Worker::builder("reads")
            .group(group.as_str())
            .input_named(spec.clone())
            .process(|_: Value<Json>| async { Ok::<_, HandlerError>(()) })
            .retry(RetryPolicy::tiers([Duration::from_secs(5)]))
            .build(kafka)
    })
}

/// Does nothing unless it was started by [`site`].
#[test]
fn a_subject_of_other_tests() {
    subject(app);
}

fn site(cluster: &Cluster, topic: &str, arguments: &[&str]) -> Command {
    let all = [&["--brokers", &cluster.0, "--timeout", "30s"], arguments].concat();
    let mut command = again("own::a_subject_of_other_tests", &all);
    command.env(TOPIC, topic);
    command
}

/// What a run says of the topics around this one, by what stands behind its name.
fn results(document: &Json, topic: &str) -> Vec<(String, String, i64)> {
    let all = document.as_array().unwrap().iter().filter_map(|row| {
        let beside = row["topic"].as_str().unwrap().strip_prefix(topic)?.to_owned();
        let result = row["result"].as_str().unwrap().to_owned();
        Some((beside, result, row["partitions"].as_i64().unwrap_or(-1)))
    });
    let mut all: Vec<_> = all.collect();
    all.sort();
    all
}

fn each(main: &str, letters: &str, quarantine: &str, tier: &str) -> Vec<(String, String, i64)> {
    [("", main, 3), (".dlq", letters, 1), (".quarantine", quarantine, 1), (".retry.5s", tier, 3)]
        .map(|(name, result, partitions)| (name.into(), result.into(), partitions))
        .into()
}

#[test]
fn all_topics_that_a_binary_needs_are_made_at_once() {
    let Some(cluster) = Cluster::get() else { return };
    let topic = unique("cli");
    let run =
        |more: &[&str]| finish_again(site(&cluster, &topic, &[&["create-topics"], more].concat()));
    let planned = run(&["--dry-run", "-o", "json"]).json();
    assert_eq!(results(&planned, &topic), each("missing", "missing", "missing", "missing"));
    assert!(!cluster.run(&["topics"]).ok().contains(&topic), "a dry run makes nothing");

    let made = stable(&run(&[]).ok(), &[(&topic, "NAME")]);
    let rows: Vec<_> = made.lines().filter(|line| !line.contains("cli-own-noted")).collect();
    assert_eq!(
        rows,
        [
            "TOPIC RESULT PARTITIONS REPLICATION DIFFERS",
            "NAME made 3 1",
            "NAME.dlq made 1 1",
            "NAME.quarantine made 1 1",
            "NAME.retry.5s made 3 1",
        ]
    );
    // Of an event that is published only the name is known.
    assert!(made.contains("\ncli-own-noted "), "{made}");
    let listed = cluster.run(&["topics"]).ok();
    assert!(listed.contains("cli-own-noted ") && listed.contains(&topic), "{listed}");

    let there = run(&["-o", "json"]).json();
    assert_eq!(results(&there, &topic), each("there", "there", "there", "there"));
    // Topics of others may be wrong.
    let checked = finish_again(site(&cluster, &topic, &["check"])).out;
    for what in ["worker reads".to_owned(), "topic cli-own-noted".into(), format!("topic {topic} ")]
    {
        let is_well = |line: &str| line.starts_with("ok ") && line.contains(&what);
        assert!(checked.lines().any(is_well), "{what}: {checked}");
    }
}

#[test]
fn what_is_there_otherwise_is_told_and_not_changed_and_the_rest_is_made() {
    let Some(cluster) = Cluster::get() else { return };
    let topic = unique("cli");
    let tier = format!("{topic}.retry.5s");
    let make = ["create-topic", &tier, "--partitions", "2", "--replication", "auto"];
    cluster.run(&make).ok();
    for result in ["made", "there"] {
        let ran = finish_again(site(&cluster, &topic, &["create-topics", "-o", "json"]));
        assert_eq!(ran.code, 1, "{ran:?}");
        let document: Json = serde_json::from_str(&ran.out).unwrap();
        let mut expected = each(result, result, result, "differs");
        expected[3].2 = 2;
        assert_eq!(results(&document, &topic), expected);
        let row = document.as_array().unwrap().iter().find(|row| row["topic"] == tier).unwrap();
        let problem = format!(
            "{tier} has 2 partitions and {topic} has 3; a retry topic needs as many as its main topic"
        );
        assert_eq!(row["problems"][0]["problem"], problem);
        assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
        let advice = format!("`kafka-topics --alter --topic {tier} --partitions 3` adds");
        assert!(ran.err.contains(&advice), "{}", ran.err);
    }
    let shown = cluster.run(&["topic", "show", &tier, "-o", "json"]).json();
    assert_eq!(shown["partitions"].as_array().unwrap().len(), 2);
}

#[test]
fn a_binary_that_knows_no_topics_says_what_makes_them_known() {
    let Some(cluster) = Cluster::get() else { return };
    let error = cluster.run(&["create-topics"]).fails(3);
    assert!(error.contains("`App::publishes`"), "{error}");
    assert!(error.contains("`tidings create-topic NAME`"), "{error}");
}

#[test]
fn the_lag_of_a_group_that_has_not_begun_is_all_that_its_worker_is_to_read() {
    let Some(cluster) = Cluster::get() else { return };
    let topic = unique("cli");
    finish_again(site(&cluster, &topic, &["create-topics"])).ok();
    cluster.send(&topic, "1\n2\n3\n", &["--key", "k"]);
    cluster.send(&format!("{topic}.retry.5s"), "4\n", &["--key", "k"]);
    let group = format!("group-of-{topic}");
    let named = finish_again(site(&cluster, &topic, &["lag", &group, "-o", "json"])).json();
    let all = finish_again(site(&cluster, &topic, &["lag", "-o", "json"])).json();
    let all = all.as_array().unwrap().iter().find(|lag| lag["group"] == group).cloned();
    assert_eq!(all.as_ref(), named.get(0));
    let lag = all.unwrap();
    assert_eq!(lag["lag"], 4, "{lag:#}");
    let partitions = lag["partitions"].as_array().unwrap();
    assert_eq!(partitions.len(), 6, "the topic's and its tier's: {lag:#}");
    assert!(partitions.iter().all(|of| of["committed"] == json!(null)), "{lag:#}");
    // Who does not know the worker knows no such group.
    cluster.run(&["lag", &group]).fails(3);
}
