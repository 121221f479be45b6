//! Ctrl-C.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::run::*;
use crate::support::unique;

/// Presses Ctrl-C; answers the exit code and what was said on standard error.
fn interrupt(mut child: Child) -> (Option<i32>, String) {
    let pid = child.id().to_string();
    let status = Command::new("kill").args(["-INT", &pid]).status().unwrap();
    assert!(status.success());
    let began = Instant::now();
    let code = child.wait().unwrap().code();
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    (code, errors)
}

#[test]
fn following_ends_cleanly_and_a_group_keeps_what_was_written() {
    let Some(cluster) = Cluster::get() else { return };
    let (topic, group) = (cluster.topic(1), unique("group"));
    cluster.send(&topic, "0\n1\n", &[]);
    for more in [&["--from", "earliest"][..], &["--group", &group]] {
        let arguments = ["consume", &topic, "--format", "raw"];
        let mut command = cluster.command(&[&arguments, more].concat());
        command.env("KAFKA__CONSUMER__AUTO_OFFSET_RESET", "earliest");
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        for expected in ["0\n", "1\n"] {
            let mut line = String::new();
            out.read_line(&mut line).unwrap();
            assert_eq!(line, expected);
        }
        if more[0] == "--group" {
            let second = cluster.run(&[&arguments[..], more].concat()).fails(2);
            assert!(second.contains("1 members at work") && second.contains("--force"), "{second}");
        }
        assert_eq!(interrupt(child), (Some(0), String::new()), "{more:?}");
    }
    let lag = cluster.run(&["lag", &group, "--output", "json"]).json();
    assert_eq!(lag[0]["partitions"][0]["committed"], json!(2), "{lag}");
}

#[test]
fn sending_ends_with_how_many_lines_were_acknowledged() {
    let Some(cluster) = Cluster::get() else { return };
    let topic = cluster.topic(1);
    let mut child = cluster.piped(&["produce", &topic]);
    // More lines may come.
    let mut lines = child.stdin.take().unwrap();
    lines.write_all(b"0\n1\n2\n").unwrap();
    lines.flush().unwrap();
    let arguments = ["consume", &topic, "--from", "earliest", "--count", "3", "--format", "raw"];
    assert_eq!(cluster.run(&arguments).ok(), "0\n1\n2\n");
    let (code, error) = interrupt(child);
    assert_eq!((code, error.as_str()), (Some(130), "error: interrupted; lines acknowledged: 3\n"));
}

#[cfg(feature = "kafka-tls")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_ctrl_c_ends_sending_at_once_where_the_broker_is_away() {
    let Some(broker) = crate::broker::OwnBroker::start(&[]).await else { return };
    let cluster = Cluster(broker.address.clone());
    let topic = cluster.topic(1);
    let mut child = cluster.piped(&["produce", &topic]);
    let mut lines = child.stdin.take().unwrap();
    lines.write_all(b"1\n").unwrap();
    let arguments = ["consume", &topic, "--from", "earliest", "--count", "1", "--format", "raw"];
    assert_eq!(cluster.run(&arguments).ok(), "1\n");
    broker.kill().await;
    // Far more than a pipe holds: once they are written, the command has taken most of them.
    let long = format!("\"{}\"\n", "x".repeat(10_000));
    lines.write_all(long.repeat(100).as_bytes()).unwrap();
    let pid = child.id().to_string();
    let mut errors = BufReader::new(child.stderr.take().unwrap()).lines();
    let press = || Command::new("kill").args(["-INT", &pid]).status().unwrap().success();
    assert!(press());
    let told = errors.next().unwrap().unwrap();
    assert!(told.starts_with("waiting for the lines that are on their way"), "{told}");
    let began = Instant::now();
    assert!(press());
    let error = errors.next().unwrap().unwrap();
    let known = "error: interrupted; lines acknowledged: 1; not known to be: ";
    assert!(error.starts_with(known), "{error}");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}
