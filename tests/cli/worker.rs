//! `worker` and `describe`, in a binary of one's own: this one, started again.

use std::io::{BufRead, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use tidings::cli::App;
use tidings::consumer::{BuildError, Consumer, Event, HandlerError, Value};
use tidings::event::TopicName;
use tidings::producer::{Message, Producer};
use tidings::retry::{Backoff, RetryPolicy};
use tidings::topic::{Replication, TopicKind, TopicSpec};
use tidings::transport::TopicSetup;
use tidings::transport::kafka::Kafka;
use tidings::worker::Worker;
use tidings::{IntegrationEvent, Topic};

use crate::run::*;

/// The topic that one more worker writes to, where there is one.
const NOTES: &str = "TIDINGS_TEST_CLI_NOTES";
/// The topic that its workers read.
pub const TOPIC: &str = "TIDINGS_TEST_CLI_TOPIC";

#[derive(Serialize, Deserialize)]
pub struct Visit {
    page: String,
    n: u32,
}

#[derive(Serialize, Deserialize, IntegrationEvent)]
#[event(key = page, version = 2, topic = Reports)]
struct Reported {
    page: String,
}

#[derive(Topic)]
#[topic(kind = event, name = "visits", carries(Visit), partitions = 6, replication = auto, retention = "3d")]
struct Visits;

#[derive(Topic)]
#[topic(kind = event, name = "reports", carries(Reported), profile = error, replication = auto)]
struct Reports;

async fn report(Value(visit): Value<Visit>) -> Result<Reported, HandlerError> {
    Ok(Reported { page: visit.page })
}

async fn mail(_: Event<Reported>) -> Result<(), HandlerError> {
    Ok(())
}

async fn archive(_: Event<Reported>) -> Result<(), HandlerError> {
    Ok(())
}

async fn check(Value(visit): Value<Visit>) -> Result<(), HandlerError> {
    if visit.n > 0 { Ok(()) } else { Err(HandlerError::permanent("nothing")) }
}

fn app() -> App {
    let secs = Duration::from_secs;
    let named = std::env::var(TOPIC).unwrap_or_else(|_| "visits".into());
    let named = TopicName::new(named).unwrap();
    let worker = move |name: &'static str| {
        let spec = TopicSpec::new(named.clone(), TopicKind::Event)
            .replication(Replication::Auto)
            .partitions(1);
        Worker::builder(name)
            .group(format!("{name}-of-{named}"))
            .input_named(spec)
            .process(check)
            .max_retries(1)
            .backoff(Backoff::fixed(Duration::from_millis(10)))
            .topics(TopicSetup::Create { partitions: Some(1), replication: Some(1) })
            .consumer(move |consumer| consumer.start_wait(secs(2)))
    };
    let other = worker.clone();
    let app = App::new("site")
        .topic::<Visits>()
        .topic::<Reports>()
        .consumer("mails", |kafka| {
            Consumer::builder("mail-service")
                .handle(mail)
                .handle(archive)
                .retry(RetryPolicy::tiers([5, 60].map(Duration::from_secs)))
                .members(2)
                .build(kafka)
        })
        .worker("reports", |kafka| {
            let builder = Worker::builder("reports").input::<Visits>().output::<Reports>();
            builder.process(report).max_retries(3).dead_letters(false).build(kafka)
        })
        .worker("checks", move |kafka| worker("checks").build(kafka))
        .worker("others", move |kafka| other("others").build(kafka))
        .worker("broken", |_| Err::<Worker, _>(BuildError::Setting("it has no key".into())));
    let app = match std::env::var(NOTES) {
        Ok(topic) => app.worker("notes", move |kafka| notes(kafka, &topic)),
        Err(_) => app,
    };
    match std::env::var(crate::drain::SLOW) {
        Ok(how) => app.worker("slow", move |kafka| crate::drain::slow(kafka, &how)),
        Err(_) => app,
    }
}

/// A worker that waits for nothing that it sends.
fn notes(kafka: &Kafka, topic: &str) -> Result<Worker, BuildError> {
    let (producer, topic) = (Producer::new(kafka), TopicName::new(topic).unwrap());
    let spec =
        TopicSpec::new(TopicName::new(std::env::var(TOPIC).unwrap()).unwrap(), TopicKind::Event);
    let note = move |Value(visit): Value<Visit>| {
        let (producer, topic) = (producer.clone(), topic.clone());
        async move {
            let message = Message::bytes(topic, visit.page);
            producer.send_and_forget(message).await.map_err(HandlerError::transient)?;
            Ok::<(), HandlerError>(())
        }
    };
    Worker::builder("notes")
        .group(format!("notes-of-{}", spec.name()))
        .input_named(spec.clone().replication(Replication::Auto).partitions(1))
        .process(note)
        .topics(TopicSetup::Create { partitions: Some(1), replication: Some(1) })
        .build(kafka)
}

/// Does nothing unless it was started by [`site`].
#[test]
fn a_subject_of_other_tests() {
    subject(app);
}

fn site(arguments: &[&str]) -> Command {
    again("worker::a_subject_of_other_tests", arguments)
}

fn run(arguments: &[&str]) -> Ran {
    finish_again(site(arguments))
}

#[test]
fn what_a_binary_knows_is_shown_as_a_tree() {
    let shown = run(&["describe"]);
    let tree = "\
site
├── topics
│   ├── visits (event, 6 partitions, replication auto, kept 3d)
│   └── reports (event, 1 partition, replication auto, kept 30d)
├── consumers
│   └── mails (group mail-service), 2 members
│       └── reads reports
│           ├── event reported, version 2: mail, archive
│           ├── retried in place 2 times, exponential:100ms:cap=1s:jitter
│           ├── then after 5s: reports.retry.5s
│           ├── then after 1m: reports.retry.1m
│           ├── dead letters: reports.dlq
│           └── unreadable: reports.quarantine
└── workers
    ├── reports
    │   ├── reads visits
    │   │   ├── everything, as Visit: reports
    │   │   ├── retried in place 3 times, exponential:100ms:cap=1s:jitter
    │   │   ├── no dead letters: what runs out of retries is dropped
    │   │   └── unreadable: visits.quarantine
    │   └── writes reports
    ├── checks (group checks-of-visits)
    │   └── reads visits
    │       ├── everything, as Visit: checks
    │       ├── retried in place once, fixed:10ms
    │       ├── dead letters: visits.dlq
    │       └── unreadable: visits.quarantine
    ├── others (group others-of-visits)
    │   └── reads visits
    │       ├── everything, as Visit: others
    │       ├── retried in place once, fixed:10ms
    │       ├── dead letters: visits.dlq
    │       └── unreadable: visits.quarantine
    └── worker \"broken\" cannot be built: it has no key
";
    assert_eq!(shown.out, tree);
    // All of it is shown, and what is wrong is said too.
    let error = "error: worker \"broken\" cannot be built: it has no key\n";
    assert_eq!((shown.code, shown.err.as_str()), (2, error));
    assert_eq!(tidings(&["describe"]).ok(), "tidings\n");
}

#[test]
fn what_a_binary_knows_is_one_document_for_programs() {
    let shown = run(&["describe", "--output", "json"]);
    assert_eq!(shown.code, 2);
    let shown: Json = serde_json::from_str(&shown.out).unwrap();
    assert_eq!(shown["topics"][0]["partitions"], 6);
    let mails = &shown["consumers"][0];
    assert_eq!((&mails["group"], &mails["members"]), (&json!("mail-service"), &json!(2)));
    let route = json!({ "event": "reported", "version": 2, "handlers": ["mail", "archive"] });
    assert_eq!(mails["reads"][0]["routes"], json!([route]));
    let tier = json!({ "after": "5s", "topic": "reports.retry.5s" });
    assert_eq!(mails["reads"][0]["tiers"][0], tier);
    let reports = &shown["workers"][0];
    assert_eq!(
        (&reports["writes"], &reports["retries_in_place"]),
        (&json!(["reports"]), &json!(3))
    );
    assert_eq!(reports["reads"][0]["dead_letters"], Json::Null);
    assert_eq!(shown["workers"][3]["error"], "worker \"broken\" cannot be built: it has no key");
}

#[test]
fn an_unknown_worker_is_answered_with_those_that_are_known() {
    for arguments in [&["worker", "report"][..], &["worker", "reports", "report"]] {
        let error = run(arguments).fails(3);
        assert_eq!(
            error,
            "error: there is no worker \"report\"; there are: reports, checks, others, broken"
        );
    }
    let error = tidings(&["worker", "--all"]).fails(3);
    assert!(error.contains("knows no worker"), "{error}");
    for arguments in [&["worker"][..], &["worker", "--all", "reports"]] {
        let ran = run(arguments);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{}", ran.err);
    }
}

#[test]
fn a_worker_that_cannot_be_built_is_told_before_any_starts() {
    let error = run(&["--brokers", "localhost:1", "worker", "--all"]).fails(2);
    assert_eq!(error, "error: worker \"broken\" cannot be built: it has no key");
}

#[test]
fn a_worker_without_a_broker_says_so() {
    let error = run(&["--brokers", "localhost:1", "worker", "checks"]).fails(4);
    assert!(error.contains("worker checks did not start"), "{error}");
    assert!(run(&["worker", "checks"]).fails(2).contains("no broker is given"));
}

/// A binary that works on a topic, and the lines that it writes.
pub struct Working {
    pub child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Working {
    fn start(cluster: &Cluster, topic: &str, arguments: &[&str]) -> Self {
        Self::start_with(cluster, topic, arguments, &[])
    }

    pub fn start_with(
        cluster: &Cluster,
        topic: &str,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Self {
        let all = ["--brokers", &cluster.0, "--timeout", "30s", "worker", "--every", "200ms"];
        let mut command = site(&[&all, arguments].concat());
        command.env(TOPIC, topic).env("KAFKA__CONSUMER__AUTO_OFFSET_RESET", "earliest");
        command.envs(variables.iter().copied());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Reads lines up to the first that has all of this.
    pub fn until(&mut self, words: &[&str]) -> String {
        let mut lines = self.lines.by_ref().map(Result::unwrap);
        let found = lines.find(|line| words.iter().all(|word| line.contains(word)));
        found.unwrap_or_else(|| {
            let mut errors = String::new();
            self.child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
            panic!("no line has {words:?}: {errors}")
        })
    }

    /// Sends a signal; answers the exit code, the rest of the lines, and what was said on standard error.
    pub fn end(self, signal: &str) -> (Option<i32>, Vec<String>, String) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        let rest: Vec<_> = self.lines.map(Result::unwrap).collect();
        let ended = self.child.wait_with_output().unwrap();
        (ended.status.code(), rest, String::from_utf8(ended.stderr).unwrap())
    }
}

#[test]
fn a_worker_works_until_ctrl_c_and_says_what_it_has_done() {
    let Some(cluster) = Cluster::get() else { return };
    let topic = cluster.topic(1);
    let mut working = Working::start(&cluster, &topic, &["checks"]);
    let lines: String = (0..4).map(|n| format!("{{\"page\":\"a\",\"n\":{n}}}\n")).collect();
    cluster.send(&topic, &lines, &[]);
    let line = working.until(&["checks", "done 3", "failed 1", "lag 0"]);
    assert!(line.ends_with("/s"), "it is well: {line}");
    let (code, rest, errors) = working.end("-INT");
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{rest:?}");
    let last = rest.last().unwrap();
    assert!(last.starts_with("checks  done 3  failed 1  lag 0"), "{last}");
}

#[test]
fn several_workers_end_with_a_line_of_json_each() {
    let Some(cluster) = Cluster::get() else { return };
    let topic = cluster.topic(1);
    cluster.send(&topic, "{\"page\":\"a\",\"n\":1}\n", &[]);
    let mut working = Working::start(&cluster, &topic, &["checks", "others", "--output", "json"]);
    working.until(&["\"checks\"", "\"done\":1", "\"ready\":true"]);
    working.until(&["\"others\"", "\"done\":1", "\"ready\":true"]);
    let (code, rest, errors) = working.end("-TERM");
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{rest:?}");
    let last: Vec<Json> =
        rest[rest.len() - 2..].iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (line, worker) in last.iter().zip(["checks", "others"]) {
        assert_eq!((&line["worker"], &line["done"]), (&json!(worker), &json!(1)));
        assert_eq!((&line["failed"], &line["unfinished"]), (&json!(0), &json!(0)));
    }
}

#[test]
fn a_worker_whose_topics_are_not_there_does_not_start() {
    let Some(cluster) = Cluster::get() else { return };
    let error = run(&["--brokers", &cluster.0, "--timeout", "30s", "worker", "reports"]).fails(1);
    assert!(error.contains("worker reports did not start"), "{error}");
    assert!(error.contains("visits") && error.contains("TopicSetup::Create"), "{error}");
}

#[test]
fn a_worker_whose_broker_does_not_answer_says_where_it_asked_and_how_long_it_waited() {
    let error = run(&["--brokers", "127.0.0.1:1", "worker", "checks"]).fails(4);
    let begin = "error: no answer from 127.0.0.1:1: worker checks did not start: ";
    assert!(error.starts_with(begin) && error.contains("for 2s"), "{error}");
    assert!(error.ends_with("; `site check` says more"), "{error}");
}

#[test]
fn a_worker_that_waits_for_its_broker_ends_by_either_signal() {
    for signal in ["-INT", "-TERM"] {
        // What it writes of its client shows that it has begun to wait.
        let mut command = site(&["--brokers", "127.0.0.1:1", "--verbose", "worker", "reports"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut errors = BufReader::new(child.stderr.take().unwrap()).lines();
        let waits = errors.by_ref().map(Result::unwrap).find(|line| line.contains("127.0.0.1:1"));
        assert!(waits.is_some(), "{signal}");
        let pid = child.id().to_string();
        let began = Instant::now();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(130), "{signal}");
        assert!(began.elapsed() < Duration::from_secs(5), "{signal}: {:?}", began.elapsed());
        let last = errors.map(Result::unwrap).last();
        assert_eq!(last.as_deref(), Some("error: interrupted"), "{signal}");
    }
}

#[cfg(feature = "kafka-tls")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_whose_broker_is_gone_ends_soon_after_its_drain() {
    let Some(broker) = crate::broker::OwnBroker::start(&[]).await else { return };
    let cluster = Cluster(broker.address.clone());
    let topic = cluster.topic(1);
    cluster.send(&topic, "{\"page\":\"a\",\"n\":1}\n", &[]);
    let mut working = Working::start(&cluster, &topic, &["--drain", "2s", "checks"]);
    working.until(&["checks", "done 1"]);
    broker.kill().await;
    let began = Instant::now();
    let (code, rest, errors) = working.end("-INT");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(rest.last().unwrap().contains("done 1"), "{code:?} {rest:?} {errors}");
}

#[test]
fn a_check_says_what_keeps_consumers_and_workers_from_starting() {
    let Some(cluster) = Cluster::get() else { return };
    let topic = cluster.topic(1);
    let mut command = site(&["--brokers", &cluster.0, "--timeout", "30s", "check", "-o", "json"]);
    command.env(TOPIC, &topic);
    let ran = finish(command);
    assert_eq!(ran.code, 2, "what cannot be built comes first: {ran:?}");
    let found: Json = serde_json::from_str(ran.out.strip_prefix(BEFORE).unwrap()).unwrap();
    let row = |what: &str| {
        let row = found.as_array().unwrap().iter().find(|row| row["what"] == what);
        let row = row.unwrap_or_else(|| panic!("no {what} in {found:#}"));
        (row["ok"].as_bool().unwrap(), row["found"].as_str().unwrap())
    };
    let (ok, text) = row("worker reports");
    assert!(!ok && text.contains("visits.quarantine is not there"), "{text}");
    assert!(text.contains("(create what is missing: `create-topics`"), "{text}");
    let (ok, text) = row("consumer mails");
    for missing in ["reports.retry.5s is not there", "reports.dlq is not there"] {
        assert!(!ok && text.contains(missing), "{text}");
    }
    let (ok, text) = row("worker checks");
    assert!(ok && text.contains(&format!("its start makes {topic}.dlq")), "{text}");
    let (ok, text) = row("worker broken");
    assert!(!ok && text.contains("cannot be built: it has no key"), "{text}");
}

#[test]
fn a_check_without_a_broker_says_which_worker_cannot_be_built() {
    let ran = run(&["--brokers", "127.0.0.1:1", "--timeout", "2s", "check"]);
    assert!(ran.out.contains("worker \"broken\" cannot be built: it has no key"), "{}", ran.out);
}

#[test]
fn what_a_worker_sends_without_waiting_for_it_is_sent_before_its_process_ends() {
    let Some(cluster) = Cluster::get() else { return };
    let (topic, notes) = (cluster.topic(1), cluster.topic(1));
    cluster.send(&topic, "{\"page\":\"a page\",\"n\":1}\n", &[]);
    // It lies in the producer's queue for longer than the worker takes to stop.
    let variables = [(NOTES, notes.as_str()), ("KAFKA__PRODUCER__LINGER", "5s")];
    let mut working = Working::start_with(&cluster, &topic, &["notes"], &variables);
    working.until(&["notes", "done 1"]);
    let (code, rest, errors) = working.end("-TERM");
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{rest:?}");
    let arguments = ["consume", &notes, "--from", "earliest", "--to-end", "--format", "raw"];
    assert_eq!(cluster.run(&arguments).ok(), "a page\n");
}

#[test]
fn what_a_binary_knows_is_shown_without_a_connection_to_the_broker() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // Several times: the client's threads would have to be quick.
    for _ in 0..3 {
        assert_eq!(run(&["--brokers", &address, "describe"]).code, 2, "one cannot be built");
        assert!(listener.accept().is_err(), "it has connected to {address}");
    }
}
