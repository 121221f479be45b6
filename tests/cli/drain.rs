//! The drain of `worker`, ended before it is over.

use std::io::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

use tidings::consumer::{BuildError, HandlerError, Value};
use tidings::event::TopicName;
use tidings::topic::{Replication, TopicKind, TopicSpec};
use tidings::transport::TopicSetup;
use tidings::transport::kafka::Kafka;
use tidings::worker::Worker;

use crate::run::*;
use crate::worker::{TOPIC, Visit, Working};

/// Whether one more worker never ends its work (`hangs`) or does (`works`), where there is one.
pub const SLOW: &str = "TIDINGS_TEST_CLI_SLOW";

/// A worker that says on standard output when it begins.
pub fn slow(kafka: &Kafka, how: &str) -> Result<Worker, BuildError> {
    let topic = std::env::var(TOPIC).unwrap();
    let hangs = how == "hangs";
    let work = move |_: Value<Visit>| async move {
        std::io::stdout().write_all(b"begun\n").unwrap();
        if hangs {
            std::future::pending::<()>().await;
        }
        Ok::<(), HandlerError>(())
    };
    let spec = TopicSpec::new(TopicName::new(topic.as_str()).unwrap(), TopicKind::Event);
    Worker::builder("slow")
        .group(format!("slow-of-{topic}"))
        .input_named(spec.replication(Replication::Auto).partitions(1))
        .process(work)
        .timeout(Duration::MAX)
        .topics(TopicSetup::Create { partitions: Some(1), replication: Some(1) })
        .build(kafka)
}

#[test]
fn a_second_ctrl_c_ends_a_worker_at_once_and_the_next_one_does_what_was_left() {
    let Some(cluster) = Cluster::get() else { return };
    let topic = cluster.topic(1);
    cluster.send(&topic, "{\"page\":\"a\",\"n\":1}\n", &[]);
    // Whoever ends at once says nothing to its group, which waits this long for it.
    let session = ("KAFKA__CONSUMER__SESSION_TIMEOUT", "10s");
    for first in ["-INT", "-TERM"] {
        let variables = [(SLOW, "hangs"), session];
        let arguments = ["--drain", "10m", "slow"];
        let mut hangs = Working::start_with(&cluster, &topic, &arguments, &variables);
        hangs.until(&["begun"]);
        let pid = hangs.child.id().to_string();
        let press =
            |signal: &str| Command::new("kill").args([signal, &pid]).status().unwrap().success();
        assert!(press(first));
        let began = Instant::now();
        // Signals that come before the first is heard are one.
        let status = loop {
            match hangs.child.try_wait().unwrap() {
                Some(status) => break status,
                None if began.elapsed() > Duration::from_secs(60) => panic!("{first}: it goes on"),
                None => std::thread::park_timeout(Duration::from_millis(100)),
            }
            press("-INT");
        };
        assert_eq!(status.code(), Some(130), "{first}");
        let errors = hangs.child.wait_with_output().unwrap().stderr;
        let says = "error: interrupted; what is unfinished will be read again\n";
        assert_eq!(String::from_utf8(errors).unwrap(), says, "{first}");
    }
    let variables = [(SLOW, "works"), session];
    let mut works = Working::start_with(&cluster, &topic, &["slow"], &variables);
    works.until(&["slow", "done 1"]);
    assert_eq!(works.end("-INT").0, Some(0));
}
