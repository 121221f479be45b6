//! Records copied from topic to topic as lines of JSON, on a real broker.

use std::process::Stdio;

use serde_json::Value;

use crate::run::*;

/// Of strangers: no text, no payload, no key, headers again, without a value and without a text. (A name that is no text would not outlive a broker that
/// compresses anew.)
const STRANGE: &str = r#"
{"key":{"base64":"/wA="},"value":null,"headers":[["h","1"],["h","2"],["none",null],["empty",""]]}
{"key":"k","value":{ "b" : 1.0, "a" : 12345678901234567890123 }}
{"key":null,"value":{"base64":"AP8K"},"headers":[["bytes",{"base64":"/w=="}]]}
{"key":"","value":"no json\n","payload":"no json\n"}
{"key":"k\n\u001b","value":null,"payload":"null"}
"#;

/// All records of a topic without where they lie.
fn records(cluster: &Cluster, topic: &str) -> Vec<Value> {
    let arguments = ["consume", topic, "--from", "earliest", "--to-end", "--format", "json"];
    let shown = cluster.run(&arguments).ok();
    let record = |line: &str| {
        let mut record: Value = serde_json::from_str(line).unwrap();
        for name in ["topic", "partition", "offset", "timestamp"] {
            record.as_object_mut().unwrap().remove(name).unwrap();
        }
        record
    };
    shown.lines().map(record).collect()
}

/// Pipes one topic into another.
fn copy(cluster: &Cluster, from: &str, to: &str, more: &[&str]) -> Ran {
    let arguments = ["consume", from, "--from", "earliest", "--to-end", "--format", "json"];
    let mut consume = cluster.command(&arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut produce = cluster.command(&[&["produce", to, "--format", "json"], more].concat());
    produce.stdin(consume.stdout.take().unwrap());
    let ran = finish(produce);
    assert!(consume.wait().unwrap().success());
    ran
}

#[test]
fn what_is_copied_through_a_pipe_is_the_same_byte_for_byte() {
    let Some(cluster) = Cluster::get() else { return };
    let (first, second) = (cluster.topic(1), cluster.topic(1));
    cluster.send(&first, STRANGE, &["--format", "json"]);
    let copied = copy(&cluster, &first, &second, &[]).ok();
    assert_eq!(copied, format!("lines acknowledged by {second}: 5\n"));
    let raw = |topic: &str| {
        let arguments = ["consume", topic, "--from", "earliest", "--to-end", "--format", "raw"];
        cluster.command(&arguments).output().unwrap().stdout
    };
    let expected =
        b"\n{ \"b\" : 1.0, \"a\" : 12345678901234567890123 }\n\x00\xff\n\nno json\n\nnull\n";
    assert_eq!((raw(&first), raw(&second)), (expected.to_vec(), expected.to_vec()));
    let (before, after) = (records(&cluster, &first), records(&cluster, &second));
    assert_eq!(before, after);
    let written: Vec<Value> =
        STRANGE.trim().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (written, read) in written.iter().zip(&after) {
        assert_eq!(written["key"], read["key"]);
        let none = Value::Array(Vec::new());
        assert_eq!(written.get("headers").unwrap_or(&none), &read["headers"]);
    }
    assert_eq!(after[0]["value"], Value::Null);
    assert!(after[0].get("payload").is_none(), "a tombstone: {}", after[0]);
    assert_eq!(after[4]["payload"], "null", "no tombstone: {}", after[4]);
}

#[test]
fn a_dead_letter_is_moved_back_without_the_headers_of_its_failure() {
    let Some(cluster) = Cluster::get() else { return };
    let (letters, main) = (cluster.topic(1), cluster.topic(1));
    let letter = r#"{"key":"k","value":{"n":1},"headers":[["ce_id","1"],["x-retry-group","g"],["x-mine","2"],["x-first-failed-at","3"]]}"#;
    cluster.send(&letters, letter, &["--format", "json"]);
    let more = ["--without-header", "x-retry-*", "--without-header", "x-*-failed-at"];
    copy(&cluster, &letters, &main, &[&more[..], &["--header", "moved=yes"]].concat()).ok();
    let expected = serde_json::json!({
        "key": "k", "value": { "n": 1 }, "headers": [["ce_id", "1"], ["x-mine", "2"], ["moved", "yes"]],
    });
    assert_eq!(records(&cluster, &main), [expected]);
}

#[test]
fn a_line_that_is_no_record_is_named_by_its_number_and_a_file_with_one_sends_nothing() {
    let Some(cluster) = Cluster::get() else { return };
    let topic = cluster.topic(1);
    for (line, why) in [
        (r#"{"key":"k"}"#, "line 2: it has no `value`"),
        (r#"{"value":"#, "line 2: the JSON is cut off"),
        (r#"{"id":1}"#, "line 2: a record has no field \"id\""),
    ] {
        let file = file(&format!("{{\"value\":1}}\n{line}\n"));
        let arguments = ["produce", &topic, "--format", "json", "--file"];
        let error = cluster.run(&[&arguments[..], &[file.to_str().unwrap()]].concat()).fails(2);
        std::fs::remove_file(file).unwrap();
        assert!(error.contains(why), "{error}");
    }
    assert_eq!(records(&cluster, &topic), [] as [Value; 0]);
}
