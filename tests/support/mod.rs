//! What the tests share: events, a recording handler, conditions to wait for, services.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tidings::event::TopicName;
use tidings::transport::kafka::{Kafka, KafkaConfig};
use tidings::transport::{NewTopic, Transport};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Waits for a condition, and says what it waited for when it does not come.
pub async fn eventually(what: &str, within: Duration, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + within;
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not happen within {within:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub const SOON: Duration = Duration::from_secs(30);

/// How late this machine itself is while a test measures: a timer that wakes a task that wakes another one
/// and is woken by it, as what is due goes its way in a consumer. No library can be better than that.
pub struct Machine {
    enough: Arc<AtomicBool>,
    watching: JoinHandle<Vec<Duration>>,
}

impl Machine {
    pub fn watch() -> Self {
        let (calls, mut called) = mpsc::unbounded_channel::<oneshot::Sender<()>>();
        tokio::spawn(async move {
            while let Some(answer) = called.recv().await {
                let _ = answer.send(());
            }
        });
        let enough = Arc::new(AtomicBool::new(false));
        let ends = enough.clone();
        let watching = tokio::spawn(async move {
            let mut late = Vec::new();
            // Those that a stall makes late come all the same, as events would.
            let mut pace = tokio::time::interval(Duration::from_millis(10));
            while !ends.load(Ordering::Relaxed) {
                let due = pace.tick().await;
                let (call, answer) = oneshot::channel();
                calls.send(call).unwrap();
                answer.await.unwrap();
                late.push(due.elapsed());
            }
            late
        });
        Self { enough, watching }
    }

    /// Stops; answers what `percent` of its looks were at most late by.
    pub async fn late(self, percent: usize) -> Duration {
        self.enough.store(true, Ordering::Relaxed);
        let mut late = self.watching.await.unwrap();
        late.sort_unstable();
        let answer = late.get(late.len() * percent / 100).or(late.last()).copied();
        let answer = answer.unwrap_or_default();
        println!("the machine itself meanwhile: p{percent} {answer:?} late");
        answer
    }
}

/// The address of the Kafka broker that tests may use; `None`, said aloud, where there is none.
pub fn kafka_address() -> Option<String> {
    address("TIDINGS_TEST_KAFKA")
}

/// A service's address from the environment; where it is required its absence is a failure.
pub fn address(variable: &str) -> Option<String> {
    let address = std::env::var(variable).ok().filter(|address| !address.is_empty());
    if address.is_none() {
        let required = std::env::var("TIDINGS_REQUIRE_SERVICES").is_ok_and(|v| v == "1");
        assert!(!required, "{variable} is not set, and TIDINGS_REQUIRE_SERVICES=1");
        // Past the test harness, which keeps what a test prints that does not fail.
        let test = std::thread::current().name().unwrap_or_default().to_owned();
        let _ = writeln!(std::io::stderr(), "skipped: {test}: {variable} is not set");
    }
    address
}

/// A name that no other test has.
pub fn unique(prefix: &str) -> String {
    format!("{prefix}-{}", uuid::Uuid::now_v7().simple())
}

/// A client of a broker, with time-outs for tests.
pub fn client(service: &str, brokers: &str) -> Kafka {
    Kafka::connect(config(service, brokers)).unwrap()
}

pub fn config(service: &str, brokers: &str) -> KafkaConfig {
    KafkaConfig::new(service, brokers)
        .session_timeout(Duration::from_secs(6))
        .heartbeat(Duration::from_secs(1))
}

/// Makes topics and waits until they are there.
pub async fn create_topics(kafka: &Kafka, topics: &[(&str, i32, bool)]) {
    let new: Vec<_> = topics
        .iter()
        .map(|(name, partitions, append_time)| NewTopic {
            partitions: Some(*partitions),
            replication: Some(1),
            append_time: *append_time,
            ..NewTopic::new(TopicName::new(*name).unwrap())
        })
        .collect();
    let admin = kafka.admin();
    admin.create(&new, SOON).await.unwrap();
    let names: Vec<_> = new.iter().map(|topic| topic.name.clone()).collect();
    let deadline = Instant::now() + SOON;
    while !admin.describe(&names, SOON).await.unwrap().iter().all(Option::is_some) {
        assert!(Instant::now() < deadline, "topics {names:?} were not made");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What handlers saw, in order.
#[derive(Clone, Debug)]
pub struct Seen<T>(Arc<Mutex<Vec<T>>>);

impl<T> Default for Seen<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T: Clone> Seen<T> {
    pub fn add(&self, item: T) {
        self.0.lock().unwrap().push(item);
    }

    pub fn all(&self) -> Vec<T> {
        self.0.lock().unwrap().clone()
    }

    pub fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}
