//! Records sent and shown, on a real broker.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::run::*;
use crate::support::unique;

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn what_is_sent_is_shown_in_every_format() {
    let Some(cluster) = Cluster::get() else { return };
    let topic = cluster.topic(1);
    let file = file("{\"id\":\"a\",\"n\":1}\n\n{\"id\":\"b\",\"n\":2}\n");
    let arguments = ["produce", &topic, "--key-field", "id", "--header", "origin=test", "--file"];
    let sent = cluster.run(&[&arguments[..], &[file.to_str().unwrap()]].concat());
    assert_eq!(sent.ok(), format!("lines acknowledged by {topic}: 2\n"));
    std::fs::remove_file(file).unwrap();

    let consume = |more: &[&str]| {
        let arguments = ["consume", &topic, "--from", "earliest", "--to-end"];
        cluster.run(&[&arguments, more].concat())
    };
    assert_eq!(
        consume(&["--format", "raw"]).ok(),
        "{\"id\":\"a\",\"n\":1}\n{\"id\":\"b\",\"n\":2}\n"
    );
    let mut json = lines(&consume(&["-o", "json", "--headers"]).ok());
    for record in &mut json {
        assert!(record["timestamp"].take().is_string());
    }
    let expected = |offset: u32, key: &str| {
        json!({
            "topic": topic, "partition": 0, "offset": offset, "timestamp": null, "key": key,
            "value": { "id": key, "n": offset + 1 }, "headers": [["origin", "test"]],
        })
    };
    assert_eq!(json, [expected(0, "a"), expected(1, "b")]);
    let pretty = consume(&["--headers", "--count", "1"]).ok();
    let rest: Vec<_> = pretty.lines().skip(1).collect();
    assert_eq!(rest, ["  origin: test", "{", "  \"id\": \"a\",", "  \"n\": 1", "}"]);
    assert!(
        pretty.starts_with(&format!("{topic}/0 @0  ")) && pretty.contains("  key a\n"),
        "{pretty}"
    );
}

#[test]
fn reading_begins_where_it_is_told() {
    let Some(cluster) = Cluster::get() else { return };
    let topic = cluster.topic(1);
    cluster.send(&topic, "0\n1\n2\n", &[]);
    let from = |from: &str, more: &[&str]| {
        let arguments = ["consume", &topic, "--format", "raw", "--from", from];
        cluster.run(&[&arguments, more].concat()).ok()
    };
    assert_eq!(from("earliest", &["--count", "2"]), "0\n1\n");
    assert_eq!(from("offset:1", &["--to-end"]), "1\n2\n");
    assert_eq!(from("2000-01-01T00:00:00Z", &["--to-end"]), "0\n1\n2\n");
    assert_eq!(from("2999-01-01T00:00:00Z", &["--to-end"]), "");
    assert_eq!(from("latest", &["--to-end"]), "");
    let second = lines(&from("offset:1", &["-o", "json", "--count", "1"])).remove(0);
    let time = second["timestamp"].as_str().unwrap().to_owned();
    assert!(from(&time, &["--to-end"]).ends_with("1\n2\n"));
}

#[test]
fn an_offset_behind_the_end_shows_nothing_that_lies_before_it() {
    let Some(cluster) = Cluster::get() else { return };
    let topic = cluster.topic(2);
    cluster.send(&topic, "1\n2\n3\n4\n5\n6\n", &["--key", "a"]);
    cluster.send(&topic, "7\n8\n", &["--key", "d"]);
    let from = |offset: &str, more: &[&str]| {
        let arguments = ["consume", &topic, "--from", offset, "-o", "json"];
        cluster.command(&[&arguments, more].concat())
    };
    // One partition ends before it.
    let shown = finish(from("offset:5", &["--to-end"])).ok();
    let offsets: Vec<_> = lines(&shown).iter().map(|record| record["offset"].as_i64()).collect();
    assert_eq!(offsets, [Some(5)]);
    let mut command = from("offset:100", &["--count", "1"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It begins at the end: sent until one is seen, since it takes a moment to be there.
    while child.try_wait().unwrap().is_none() {
        cluster.send(&topic, "\"new\"\n", &["--key", "a"]);
    }
    let shown = ended(child.wait_with_output().unwrap()).ok();
    assert_eq!(lines(&shown)[0]["value"], "new", "{shown}");
}

#[test]
fn a_topic_that_is_not_there_is_neither_read_nor_written_nor_made() {
    let Some(cluster) = Cluster::get() else { return };
    let topic = unique("cli");
    let file = file("1\n");
    for arguments in [
        vec!["consume", &topic],
        vec!["consume", &topic, "--group", "g"],
        vec!["produce", &topic, "--file", file.to_str().unwrap()],
    ] {
        let error = cluster.run(&arguments).fails(3);
        assert!(error.contains(&format!("there is no topic {topic}")), "{error}");
    }
    std::fs::remove_file(file).unwrap();
    assert!(!cluster.run(&["topics"]).ok().contains(&topic));
}

#[test]
fn a_line_of_standard_input_that_is_wrong_ends_it_and_the_lines_before_it_are_counted() {
    let Some(cluster) = Cluster::get() else { return };
    let topic = cluster.topic(1);
    let mut child = cluster.piped(&["produce", &topic]);
    child.stdin.take().unwrap().write_all(b"1\n2\nnonsense\n4\n").unwrap();
    let error = ended(child.wait_with_output().unwrap()).fails(2);
    assert!(error.contains("line 3: this is not JSON"), "{error}");
    assert!(error.ends_with("; lines acknowledged: 2"), "{error}");
    let arguments = ["consume", &topic, "--from", "earliest", "--to-end", "--format", "raw"];
    assert_eq!(cluster.run(&arguments).ok(), "1\n2\n");
}

#[test]
fn a_file_that_is_wrong_sends_nothing() {
    let Some(cluster) = Cluster::get() else { return };
    let topic = cluster.topic(1);
    let file = file("1\n2\n{\"cut\":");
    let error = cluster.run(&["produce", &topic, "--file", file.to_str().unwrap()]).fails(2);
    assert!(error.contains("line 3: the JSON is cut off"), "{error}");
    std::fs::remove_file(file).unwrap();
    let arguments = ["consume", &topic, "--from", "earliest", "--to-end", "--format", "raw"];
    assert_eq!(cluster.run(&arguments).ok(), "");
}

#[test]
fn a_record_that_the_broker_refuses_is_named_by_its_line() {
    let Some(cluster) = Cluster::get() else { return };
    let topic = unique("cli");
    let arguments = ["create-topic", &topic, "--partitions", "1", "--replication", "auto"];
    cluster
        .run(
            &[
                &arguments[..],
                &[
                    "--config",
                    "max.message.bytes=1000",
                    "--config",
                    "compression.type=uncompressed",
                ],
            ]
            .concat(),
        )
        .ok();
    // Random, so that compression does not help.
    let long: String = (0..200).map(|_| unique("")).collect();
    // Alone: a broker refuses a batch as a whole.
    let file = file(&format!("\n\"{long}\"\n"));
    let error = cluster.run(&["produce", &topic, "--file", file.to_str().unwrap()]).fails(1);
    std::fs::remove_file(file).unwrap();
    assert!(
        error.contains("line 2 was not acknowledged") && error.contains("max.message.bytes"),
        "{error}"
    );
}

#[test]
fn a_reader_that_goes_away_ends_it_without_a_word() {
    let Some(cluster) = Cluster::get() else { return };
    let topic = cluster.topic(1);
    // More than a pipe holds.
    let many: String = (0..20_000).map(|n| format!("\"some text for line {n}\"\n")).collect();
    cluster.send(&topic, &many, &[]);
    let mut command =
        cluster.command(&["consume", &topic, "--from", "earliest", "--format", "raw"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    out.read_line(&mut first).unwrap();
    assert_eq!(first, "\"some text for line 0\"\n");
    drop(out);
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert_eq!((child.wait().unwrap().code(), errors.as_str()), (Some(0), ""));
}

#[test]
fn what_strangers_write_neither_steers_the_terminal_nor_forges_a_line() {
    let Some(cluster) = Cluster::get() else { return };
    let topic = cluster.topic(1);
    // Both are legal in JSON as they are: one begins a command to a terminal, the other is DEL.
    let value = "\u{9b}2J\u{7f}";
    let key = "a\nusers/0 @7  no key\n{}";
    cluster.send(&topic, &format!("\"{value}\"\n"), &["--key", key, "--header", "a=b\nc"]);
    let consume = |more: &[&str]| {
        let arguments = ["consume", &topic, "--from", "earliest", "--to-end", "--headers"];
        let shown = cluster.run(&[&arguments[..], more].concat()).ok();
        assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{more:?}: {shown:?}");
        shown
    };
    assert_eq!(consume(&["--format", "pretty"]).lines().count(), 3, "record, header, payload");
    let record = lines(&consume(&["-o", "json"])).remove(0);
    assert_eq!((&record["key"], &record["value"]), (&json!(key), &json!(value)));
}
