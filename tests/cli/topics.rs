//! Topics listed, shown and made, on a real broker.

use std::process::Command;

use serde_json::json;

use crate::run::*;
use crate::support::unique;

#[test]
fn a_topic_is_made_listed_and_shown() {
    let Some(cluster) = Cluster::get() else { return };
    let name = unique("cli");
    let made = cluster.run(&[
        "create-topic",
        &name,
        "--partitions",
        "2",
        "--replication",
        "1",
        "--profile",
        "dlq",
        "--config",
        "segment.ms=3600000",
        "--config",
        "retention.ms=7200000",
    ]);
    assert_eq!(made.ok(), format!("{name} is made; partitions: 2, copies: 1\n"));
    cluster.send(&name, "1\n2\n3\n", &["--key", "k"]);

    let listed = cluster.run(&["topics"]).ok();
    let listed = stable(&listed, &[(&name, "NAME")]);
    assert!(listed.starts_with("TOPIC PARTITIONS REPLICATION CLEANUP RETENTION MS\n"), "{listed}");
    assert!(listed.contains("\nNAME 2 1 delete 7200000"), "{listed}");
    assert!(!listed.contains("__consumer_offsets"), "{listed}");
    let json = cluster.run(&["topics", "-o", "json", "--internal"]).json();
    let entry = json.as_array().unwrap().iter().find(|topic| topic["topic"] == *name);
    let expected = json!({
        "topic": name, "partitions": 2, "replication": 1, "cleanup.policy": "delete", "retention.ms": "7200000"
    });
    assert_eq!(entry, Some(&expected));

    let json = cluster.run(&["topic", "show", &name, "-o", "json"]).json();
    let id = json["id"].as_str().expect("a topic of this Kafka has an id");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/dev/kafka");
    let arguments = ["tool", "TopicCommand", "--bootstrap-server", &cluster.0, "--describe"];
    let tool = Command::new(script).args(arguments).args(["--topic", &name]).output().unwrap();
    let tool = String::from_utf8(tool.stdout).unwrap();
    assert!(tool.split_whitespace().any(|word| word == id), "{id} is not in {tool}");
    let names = [(&*name, "NAME"), (id, "ID")];
    let shown = stable(&cluster.run(&["topic", "show", &name]).ok(), &names);
    // Which partition the key chose is the partitioner's business.
    let shown = shown.replace("0 0 3\n1 0 0", "0 0 0\n1 0 3");
    let expected = "\
NAME: 2 partitions, 1 copies, id ID

PARTITION FIRST END
0 0 0
1 0 3

PROPERTY VALUE
cleanup.policy delete
compression.type snappy
min.insync.replicas 1
retention.ms 7200000
segment.ms 3600000";
    assert_eq!(shown, expected);
    assert_eq!(json["configuration"]["segment.ms"], json!({ "value": "3600000", "set": true }));
    assert_eq!(json["partitions"].as_array().unwrap().len(), 2);
}

#[test]
fn a_topic_that_is_there_stays_as_it_is() {
    let Some(cluster) = Cluster::get() else { return };
    let name = cluster.topic(3);
    let create = |more: &[&str]| {
        cluster.run(&[&["create-topic", &name, "--replication", "auto"], more].concat())
    };
    assert_eq!(create(&[]).ok(), format!("{name} is there already; partitions: 3, copies: 1\n"));
    let error = create(&["--partitions", "2"]).fails(1);
    assert!(
        error.contains("has 3 partitions and cannot have 2: partitions are never taken away"),
        "{error}"
    );
    let error = create(&["--partitions", "4"]).fails(1);
    assert!(error.contains("stays as it is: partitions is 3 and not 4"), "{error}");
    let error = create(&["--kind", "state"]).fails(1);
    assert!(error.contains("cleanup.policy is delete and not compact"), "{error}");
    let json = cluster.run(&["topic", "show", &name, "-o", "json"]).json();
    assert_eq!(json["partitions"].as_array().unwrap().len(), 3);
}

#[test]
fn what_cannot_be_made_is_told_in_one_line_and_nothing_is_made() {
    let Some(cluster) = Cluster::get() else { return };
    let name = unique("cli");
    for (more, code, what) in [
        (
            &["--profile", "gold"][..],
            3,
            "there is no profile \"gold\"; there are: standard, error, dlq",
        ),
        (
            &[],
            2,
            "the profile `standard` wants 3 copies and the cluster has 1 broker; `--replication auto`",
        ),
        (&["--replication", "some"], 2, "--replication is a number or `auto`"),
        (
            &["--replication", "1", "--config", "min.insync.replicas=2"],
            2,
            "`min_in_sync` is 2 and `replication` 1",
        ),
        (
            &["--replication", "auto", "--config", "cleanup.policy=never"],
            2,
            "cleanup.policy cannot be",
        ),
        (&["--replication", "auto", "--config", "retention.ms=long"], 2, "retention.ms cannot be"),
        (&["--replication", "auto", "--config", "no.such.property=1"], 1, &name),
    ] {
        let error = cluster.run(&[&["create-topic", &name], more].concat()).fails(code);
        assert!(error.contains(what), "{error}");
    }
    let error = cluster.run(&["topic", "show", &name]).fails(3);
    assert!(
        error.contains(&format!("there is no topic {name}; `tidings topics` lists")),
        "{error}"
    );
}

#[test]
fn a_cluster_that_is_well_passes_its_check() {
    let Some(cluster) = Cluster::get() else { return };
    let main = cluster.topic(3);
    let ran = cluster.run(&["check"]);
    for what in ["configuration", "client", "brokers", "groups", "topics"] {
        let line = ran.out.lines().find(|line| line.split_whitespace().nth(1) == Some(what));
        assert!(line.is_some_and(|line| line.starts_with("ok ")), "{}", ran.out);
    }
    // A retry topic that no consumer could start with.
    let tier = format!("{main}.retry.5s");
    let arguments = ["create-topic", &tier, "--partitions", "2", "--replication", "auto"];
    cluster.run(&arguments).ok();
    let ran = cluster.run(&["check", "--output", "json"]);
    assert_eq!(ran.code, 1);
    let found: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let finding = found.as_array().unwrap().iter().find(|f| f["what"] == format!("topic {tier}"));
    let text = finding.unwrap()["found"].as_str().unwrap();
    assert!(
        text.contains(&format!("it has 2 partitions and {main} has 3; add the missing ones")),
        "{text}"
    );
}

#[test]
fn a_kind_and_a_policy_that_contradict_each_other_make_nothing() {
    let Some(cluster) = Cluster::get() else { return };
    let name = unique("cli");
    for (kind, policy) in [("event", "compact"), ("command", "compact"), ("state", "delete")] {
        let policy = format!("cleanup.policy={policy}");
        let arguments = ["create-topic", &name, "--replication", "auto", "--kind", kind];
        let error = cluster.run(&[&arguments[..], &["--config", &policy]].concat()).fails(2);
        assert!(error.contains(&format!("does not go with a topic of kind {kind}")), "{error}");
    }
    assert!(!cluster.run(&["topics"]).ok().contains(&name));
}

#[test]
fn a_name_that_brokers_take_for_another_is_refused_with_the_other() {
    let Some(cluster) = Cluster::get() else { return };
    let name = unique("cli");
    let (dot, line) = (format!("{name}.a"), format!("{name}_a"));
    let make = |name: &str| cluster.run(&["create-topic", name, "--replication", "auto"]);
    make(&dot).ok();
    let error = make(&line).fails(1);
    assert!(error.contains(&format!("{line} and {dot}, which is there, differ")), "{error}");
}
