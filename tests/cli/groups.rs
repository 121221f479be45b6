//! Groups, their members and how far they have come, on a real broker.

use serde_json::{Value, json};

use crate::run::*;
use crate::support::unique;

fn of_partition(lag: &Value, partition: u32) -> Value {
    let all = lag[0]["partitions"].as_array().unwrap();
    let entry = all.iter().find(|entry| entry["partition"] == partition);
    let entry = entry.unwrap_or_else(|| panic!("no partition {partition} in {lag}"));
    json!([entry["committed"], entry["end"], entry["lag"], entry["member"]])
}

#[test]
fn a_group_goes_on_where_it_was_and_says_how_far_that_is() {
    let Some(cluster) = Cluster::get() else { return };
    let (topic, group) = (cluster.topic(1), unique("group"));
    cluster.send(&topic, "0\n1\n2\n3\n", &[]);
    let consume = |count: &str| {
        let mut command = cluster
            .command(&["consume", &topic, "--group", &group, "--count", count, "--format", "raw"]);
        command.env("KAFKA__CONSUMER__AUTO_OFFSET_RESET", "earliest");
        finish(command).ok()
    };
    assert_eq!(consume("1"), "0\n");
    assert_eq!(consume("2"), "1\n2\n");
    let lag = cluster.run(&["lag", &group, "--output", "json"]).json();
    assert_eq!(of_partition(&lag, 0), json!([3, 4, 1, null]));
    let text = stable(
        &cluster.run(&["lag", &group]).ok(),
        &[(&topic, "TOPIC-NAME"), (&group, "GROUP-NAME")],
    );
    assert_eq!(
        text,
        "GROUP TOPIC PARTITION COMMITTED END LAG MEMBER\nGROUP-NAME TOPIC-NAME 0 3 4 1 -\n\
         GROUP-NAME (total) - - - 1 -"
    );
    let all =
        stable(&cluster.run(&["lag"]).ok(), &[(&topic, "TOPIC-NAME"), (&group, "GROUP-NAME")]);
    assert!(all.contains("\nGROUP-NAME TOPIC-NAME 0 3 4 1 -"), "{all}");
    let groups = stable(&cluster.run(&["groups"]).ok(), &[(&group, "GROUP-NAME")]);
    assert!(groups.starts_with("GROUP STATE\n") && groups.contains("GROUP-NAME Empty"), "{groups}");
    let shown = cluster.run(&["groups", &group]).ok();
    assert_eq!(shown, format!("{group}: Empty, 0 members\n"));

    // Without a group nothing of it moves, and no other group comes of it.
    let before = cluster.run(&["groups", "-o", "json"]).json();
    let arguments = ["consume", &topic, "--from", "earliest", "--to-end", "--format", "raw"];
    assert_eq!(cluster.run(&arguments).ok(), "0\n1\n2\n3\n");
    let lag = cluster.run(&["lag", &group, "--output", "json"]).json();
    assert_eq!(of_partition(&lag, 0), json!([3, 4, 1, null]));
    let readers = |groups: &Value| {
        let all = groups.as_array().unwrap().clone();
        let named = |g: &Value| g["group"].as_str().unwrap().starts_with("tidings-reader");
        all.iter().filter(|group| named(group)).count()
    };
    let after = cluster.run(&["groups", "-o", "json"]).json();
    assert_eq!((readers(&before), readers(&after)), (0, 0));
}

#[test]
fn a_group_that_is_not_there_is_told_in_one_line() {
    let Some(cluster) = Cluster::get() else { return };
    let group = unique("nobody");
    for command in ["groups", "lag"] {
        let error = cluster.run(&[command, &group]).fails(3);
        assert!(
            error.contains(&format!("there is no group {group:?}; `tidings groups` lists")),
            "{error}"
        );
    }
}

#[test]
fn a_partition_of_which_nothing_is_committed_lags_by_all_that_lies_there() {
    let Some(cluster) = Cluster::get() else { return };
    let (topic, group) = (cluster.topic(2), unique("group"));
    // Which of the two partitions a key is on, the partitioner says.
    cluster.send(&topic, "1\n2\n3\n4\n5\n6\n", &["--key", "a"]);
    cluster.send(&topic, "7\n8\n", &["--key", "d"]);
    let mut command = cluster.command(&["consume", &topic, "--group", &group, "--count", "1"]);
    command.env("KAFKA__CONSUMER__AUTO_OFFSET_RESET", "earliest");
    finish(command).ok();
    let lag = cluster.run(&["lag", &group, "--output", "json"]).json();
    assert_eq!((&lag[0]["group"], &lag[0]["lag"]), (&json!(group), &json!(7)), "{lag:#}");
    let (mut committed, mut other) = (of_partition(&lag, 0), of_partition(&lag, 1));
    if committed[0].is_null() {
        std::mem::swap(&mut committed, &mut other);
    }
    assert_eq!(committed[0], 1, "{lag:#}");
    let end = &other[1];
    assert_eq!(other, json!([null, end, end, null]));
    let text = stable(&cluster.run(&["lag", &group]).ok(), &[(&topic, "T"), (&group, "G")]);
    assert!(text.contains(&format!(" - {end} {end} -")), "{text}");
    assert!(text.ends_with("\nG (total) - - - 7 -"), "{text}");
}
