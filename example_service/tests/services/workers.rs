//! The report service and its workers as processes on a real Kafka: killed, told to stop, and seen over HTTP.
//!
//! Topics and groups are the example's own, so one test has them at a time; each looks only at users of its own.

use std::collections::HashMap;
use std::process::Stdio;
use std::time::{Duration, Instant};

use example_contracts::{Change, MonthlyReports, ReportEntry};
use futures::{StreamExt, stream};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tidings::event::header;
use tidings::topic::Topic;
use tidings::transport::kafka::{Kafka, KafkaConfig};
use tidings::transport::{
    Offsets, Position, ReadEvent, Received, TopicReader, Transport, positions,
};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::Mutex;

use crate::shared::{SOON, kafka_address};

/// A killed member's partitions go to the next one after a session's end, on a busy machine.
const LONG: Duration = Duration::from_secs(120);

static TURN: Mutex<()> = Mutex::const_new(());

/// The example in a process of its own. Dropped, it is killed.
struct Process {
    child: Child,
    said: Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn start(broker: &str, arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_example_service"))
            .args(arguments)
            .env_remove("KAFKA_BOOTSTRAP_SERVERS")
            .env("KAFKA__BOOTSTRAP_SERVERS", broker)
            .env("KAFKA__CONSUMER__SESSION_TIMEOUT", "10s")
            .env("KAFKA__CONSUMER__HEARTBEAT", "1s")
            .env("DATABASE_URL", "")
            .env("HTTP_ADDRESS", "127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, said }
    }

    /// A service, and where it listens, once it is ready.
    async fn service(http: &Client, broker: &str, name: &str) -> (Self, String) {
        let mut process = Self::start(broker, &[name]);
        let line = process.line().await;
        let url = line.split_whitespace().last().unwrap().to_owned();
        let ready = format!("{url}/health/ready");
        until("the service is ready", async || {
            http.get(&ready).send().await.is_ok_and(|answer| answer.status().is_success())
        })
        .await;
        (process, url)
    }

    /// The workers alone, once they have started.
    async fn workers(broker: &str) -> Self {
        let mut process = Self::start(broker, &["worker", "--all", "--every", "1s"]);
        process.line().await;
        process
    }

    /// What it says next.
    async fn line(&mut self) -> String {
        let line = tokio::time::timeout(LONG, self.said.next_line()).await;
        line.expect("it says something").unwrap().expect("it runs")
    }

    /// kill -9.
    async fn kill(mut self) {
        assert_eq!(self.child.try_wait().unwrap(), None, "it ended by itself");
        self.child.kill().await.unwrap();
    }

    /// SIGTERM; answers the exit code.
    async fn terminate(mut self) -> Option<i32> {
        assert_eq!(self.child.try_wait().unwrap(), None, "it ended by itself");
        let id = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
        tokio::time::timeout(LONG, self.child.wait()).await.expect("it ends").unwrap().code()
    }
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !holds().await {
        assert!(Instant::now() < deadline, "{what} did not happen within {LONG:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The user service, asked over HTTP.
struct Users<'a> {
    http: &'a Client,
    url: String,
}

impl Users<'_> {
    /// Answers who.
    async fn sign_up(&self, full_name: &str) -> String {
        let email = format!("{}@example.org", uuid::Uuid::now_v7().simple());
        let body = json!({ "email": email, "full_name": full_name });
        let answer =
            self.http.post(format!("{}/users", self.url)).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::CREATED);
        let user: Value = answer.json().await.unwrap();
        user["id"].as_str().unwrap().to_owned()
    }

    /// So many live their lives, eight at a time.
    async fn live(&self, count: usize) -> Vec<(String, Life)> {
        let lives = [Life::Stays, Life::IsRenamed, Life::Leaves].into_iter().cycle().take(count);
        let one = async |life| {
            let user = self.sign_up("Ada Lovelace").await;
            match life {
                Life::Stays => {}
                Life::IsRenamed => self.rename(&user, "Ada Byron").await,
                Life::Leaves => self.deactivate(&user).await,
            }
            (user, life)
        };
        stream::iter(lives).map(one).buffer_unordered(8).collect().await
    }

    async fn rename(&self, user: &str, full_name: &str) {
        let request = self.http.patch(format!("{}/users/{user}", self.url));
        let answer = request.json(&json!({ "full_name": full_name })).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
    }

    async fn deactivate(&self, user: &str) {
        let answer = self.http.delete(format!("{}/users/{user}", self.url)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    }
}

/// An entry of the monthly reports, and the event that it was made of.
#[derive(Debug, Clone, PartialEq)]
struct Entry {
    change: Change,
    cause: String,
}

/// Reads the monthly reports.
struct Reports {
    reader: TopicReader,
    by_user: HashMap<String, Vec<Entry>>,
}

impl Reports {
    /// From now on.
    async fn open(broker: &str) -> Self {
        Self::from(broker, Position::Latest).await.0
    }

    /// All that lies there, when nobody writes any more.
    async fn all(broker: &str) -> Self {
        let (mut reports, mut unread) = Self::from(broker, Position::Earliest).await;
        while !unread.is_empty() {
            let event = tokio::time::timeout(LONG, reports.reader.next()).await.expect("it reads");
            match event.unwrap().unwrap() {
                ReadEvent::Records(batch) => batch.records.iter().for_each(|r| reports.add(r)),
                ReadEvent::End(end) => unread.retain(|(partition, _)| *partition != end),
            }
        }
        reports
    }

    async fn from(broker: &str, position: Position) -> (Self, Offsets) {
        let kafka = Kafka::connect(KafkaConfig::new("reports", broker)).unwrap();
        let admin = kafka.admin();
        let mut from = None;
        until("the reports have a topic", async || {
            from = positions(&*admin, &MonthlyReports::NAME, position, SOON).await.unwrap();
            from.is_some()
        })
        .await;
        let from = from.unwrap();
        let reader = kafka.read(from.clone()).unwrap();
        (Self { reader, by_user: HashMap::new() }, from)
    }

    /// Reads on until it is so.
    async fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + LONG;
        while !holds(self) {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(event) = tokio::time::timeout(left, self.reader.next()).await else {
                panic!("{what} did not happen within {LONG:?}: {:?}", self.by_user)
            };
            if let ReadEvent::Records(batch) = event.unwrap().unwrap() {
                batch.records.iter().for_each(|record| self.add(record));
            }
        }
    }

    fn add(&mut self, record: &Received) {
        let entry: ReportEntry =
            serde_json::from_slice(record.payload.as_deref().unwrap()).unwrap();
        assert_eq!(record.key.as_deref(), Some(entry.month.as_bytes()), "a month is in order");
        let cause = record.headers.get_str(header::CAUSATION_ID).unwrap().to_owned();
        let of_user = self.by_user.entry(entry.user_id.to_string()).or_default();
        of_user.push(Entry { change: entry.change, cause });
    }

    /// What is reported of somebody, each once and in the order of their life.
    fn of(&self, user: &str) -> Vec<Change> {
        let mut changes: Vec<_> = self.entries(user).iter().map(|entry| entry.change).collect();
        changes.sort_by_key(|change| *change == Change::Left);
        changes.dedup();
        changes
    }

    fn entries(&self, user: &str) -> &[Entry] {
        self.by_user.get(user).map_or(&[], Vec::as_slice)
    }

    /// Asserts that what came again is the same entry of the same event, and answers how many did.
    fn repeated(&self, user: &str) -> usize {
        let entries = self.entries(user);
        for change in [Change::SignedUp, Change::Left] {
            let mut of = entries.iter().filter(|entry| entry.change == change);
            let first = of.next();
            assert!(of.all(|entry| Some(entry) == first), "of two events: {entries:?}");
        }
        entries.len() - self.of(user).len()
    }
}

/// What a user does after signing up.
#[derive(Clone, Copy)]
enum Life {
    Stays,
    IsRenamed,
    Leaves,
}

impl Life {
    fn entries(self) -> &'static [Change] {
        match self {
            Self::Leaves => LEAVES,
            Self::Stays | Self::IsRenamed => &[Change::SignedUp],
        }
    }

    /// What the profile says in the end, if there is one.
    fn name(self) -> Option<&'static str> {
        match self {
            Self::Stays => Some("Ada Lovelace"),
            Self::IsRenamed => Some("Ada Byron"),
            Self::Leaves => None,
        }
    }
}

const LEAVES: &[Change] = &[Change::SignedUp, Change::Left];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_service_that_is_killed_loses_no_entry_and_no_profile_and_repeats_only_what_it_had_in_hand()
 {
    let Some(broker) = kafka_address() else { return };
    let (_turn, http) = (TURN.lock().await, Client::new());
    let (_running, url) = Process::service(&http, &broker, "user-service").await;
    let users = Users { http: &http, url };
    let (reports, _) = Process::service(&http, &broker, "report-service").await;
    let mut seen = Reports::open(&broker).await;

    // It is killed while users sign up, once it has begun with them.
    let killed = async {
        seen.until("an entry is written", |seen| !seen.by_user.is_empty()).await;
        reports.kill().await;
    };
    let (mut all, ()) = tokio::join!(users.live(60), killed);
    all.extend(users.live(9).await);
    let (reports, url) = Process::service(&http, &broker, "report-service").await;
    let last = users.live(9).await;
    let right = |seen: &Reports, (user, life): &(String, Life)| seen.of(user) == life.entries();
    let reported = |seen: &Reports| all.iter().chain(&last).all(|one| right(seen, one));
    seen.until("everybody is reported", reported).await;
    for (user, life) in all.iter().chain(&last) {
        let profile = format!("{url}/profiles/{user}");
        until("the profile is as its user", async || {
            let answer = http.get(&profile).send().await.unwrap();
            match (life.name(), answer.status()) {
                (Some(name), StatusCode::OK) => {
                    let shown: Value = answer.json().await.unwrap();
                    shown["user_id"] == **user && shown["full_name"] == name
                }
                (name, status) => name.is_none() && status == StatusCode::NOT_FOUND,
            }
        })
        .await;
    }
    assert_eq!(reports.terminate().await, Some(0));
    let end = Reports::all(&broker).await;
    for (user, life) in &all {
        let (repeated, once) = (end.repeated(user), life.entries().len());
        assert!(
            repeated <= once,
            "{user}: one kill repeats an entry once: {:?}",
            end.entries(user)
        );
    }
    for (user, life) in &last {
        assert_eq!(end.entries(user).len(), life.entries().len(), "after the kill, each once");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_of_the_command_line_end_cleanly_with_sigterm_and_lose_and_double_nothing() {
    let Some(broker) = kafka_address() else { return };
    let (_turn, http) = (TURN.lock().await, Client::new());
    let (_running, url) = Process::service(&http, &broker, "user-service").await;
    let users = Users { http: &http, url };
    let mut running = Some(Process::workers(&broker).await);
    let mut seen = Reports::open(&broker).await;
    let mut all = Vec::new();
    for round in 0..3 {
        for _ in 0..10 {
            let user = users.sign_up("Grace Hopper").await;
            users.deactivate(&user).await;
            all.push(user);
        }
        let last = all.last().unwrap().clone();
        let process = match running.take() {
            Some(process) => process,
            None => Process::workers(&broker).await,
        };
        // In the midst of it, but for the last time.
        let enough = |seen: &Reports| match round {
            2 => all.iter().all(|user| seen.of(user) == LEAVES),
            _ => !seen.entries(&last).is_empty(),
        };
        seen.until("the workers write", enough).await;
        assert_eq!(process.terminate().await, Some(0), "round {round}");
    }
    let end = Reports::all(&broker).await;
    for user in &all {
        assert_eq!((end.of(user), end.entries(user).len()), (LEAVES.to_vec(), 2), "{user}");
    }
}
