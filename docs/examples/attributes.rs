//! Attributes on functions.

use std::time::Duration;

use tidings::error::BoxError;
use tidings::testing::TestKit;
use tidings::transport::Transport;
use uuid::Uuid;

// ANCHOR: topics
use serde::{Deserialize, Serialize};
use tidings::{IntegrationEvent, Topic};

#[derive(Topic)]
#[topic(kind = event, name = "users", carries(UserJoined), replication = auto)]
pub struct Users;

#[derive(Topic)]
#[topic(kind = event, name = "web.clicks", carries(Click), replication = auto)]
pub struct Clicks;

#[derive(Topic)]
#[topic(kind = event, name = "reports", carries(Entry), replication = auto)]
pub struct Reports;

#[derive(Debug, Serialize, Deserialize, IntegrationEvent)]
#[event(key = user, topic = Users)]
pub struct UserJoined {
    pub user: Uuid,
    pub email: String,
}

/// A plain value.
#[derive(Debug, Serialize, Deserialize)]
pub struct Click {
    pub user: String,
    pub page: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub text: String,
}
// ANCHOR_END: topics

// ANCHOR: producer
use tidings::producer;
use tidings::producer::Producer;
use tidings::publisher::Publisher;

/// What it answers is an integration event.
#[producer(topic = Users)]
async fn sign_up(email: String) -> UserJoined {
    UserJoined { user: Uuid::now_v7(), email }
}

/// With a `key` it is a plain message. What is `Err` is not sent.
#[producer(topic = Clicks, key = user)]
async fn click(user: &str, page: &str) -> Result<Click, std::fmt::Error> {
    Ok(Click { user: user.into(), page: page.into() })
}

async fn produce(publisher: &Publisher, producer: &Producer) -> Result<(), BoxError> {
    let joined = sign_up::publish(publisher, "ada@example.org".into()).await?;
    let clicked = click::send(producer, "ada", "/prices").await?;
    println!("acknowledged: {} and {}", joined.id, clicked.id);

    let not_published = sign_up("grace@example.org".into()).await; // the function itself
    println!("{not_published:?}");
    Ok(())
}
// ANCHOR_END: producer

// ANCHOR: consumer
use tidings::consumer;
use tidings::consumer::{BuildError, Consumer, Event, HandlerError, State};

#[consumer(topic = Users, group = "email-service")]
async fn welcome(
    Event(joined): Event<UserJoined>,
    State(mailer): State<Mailer>,
) -> Result<(), HandlerError> {
    mailer.send(&joined.email)?;
    Ok(())
}

#[consumer]
async fn count(_: Event<UserJoined>) -> Result<(), HandlerError> {
    Ok(())
}

fn email_service<T: Transport + Clone>(transport: &T) -> Result<Consumer, BuildError> {
    let builder = welcome::consumer().state(Mailer); // a `ConsumerBuilder`
    count::register(builder).concurrency(16).build(transport)
}
// ANCHOR_END: consumer

/// Sends nothing.
#[derive(Clone)]
pub struct Mailer;

impl Mailer {
    fn send(&self, to: &str) -> Result<(), HandlerError> {
        match to {
            "" => Err(HandlerError::permanent("nobody to write to")),
            _ => Ok(()),
        }
    }
}

// ANCHOR: worker
use tidings::consumer::Value;
use tidings::worker;
use tidings::worker::{Item, Worker};

#[worker(
    topic = Clicks,
    output = Reports,
    group = "reporting",
    concurrency = 8,
    max_retries = 3,
    backoff = "exponential:1s:cap=30s:jitter",
    dlq = "clicks.failed"
)]
async fn report(Value(click): Value<Click>) -> Result<Option<Value<Entry>>, HandlerError> {
    match click.page.as_str() {
        "/broken" => Err(HandlerError::transient("it has no name yet")),
        "/" => Ok(None), // publishes nothing
        page => Ok(Some(Value(Entry { text: format!("{} saw {page}", click.user) }))),
    }
}

/// A hundred of them at once, or those that came within half a second.
#[worker(topic = Clicks, batch = 100, wait = "500ms")]
async fn archive(clicks: Vec<Item<Value<Click>>>) -> Vec<Result<(), HandlerError>> {
    println!("{} clicks", clicks.len());
    clicks.iter().map(|_| Ok(())).collect() // an outcome for each
}

fn workers<T: Transport + Clone>(transport: &T) -> Result<[Worker; 2], BuildError> {
    let report = report::worker().timeout(Duration::from_secs(5)); // a `WorkerBuilder`
    Ok([report.build(transport)?, archive::worker().build(transport)?])
}
// ANCHOR_END: worker

// ANCHOR: commands
#[cfg(feature = "cli")]
pub fn commands(arguments: Vec<std::ffi::OsString>) -> std::process::ExitCode {
    let app = tidings::cli::App::new("site")
        .worker("report", |kafka| report::worker().build(kafka))
        .worker("archive", |kafka| archive::worker().build(kafka));
    tidings::cli::run_from(app, arguments)
}
// ANCHOR_END: commands

// ANCHOR: test
#[tokio::test(start_paused = true)]
async fn who_signs_up_is_welcome() {
    let kit = TestKit::new();
    kit.start(email_service(&kit.transport("email-service")).unwrap()).await;
    sign_up::publish(&kit.publisher("web"), "ada@example.org".into()).await.unwrap();
    kit.settled().await;
    kit.expect::<UserJoined>().published(1).handled_by("welcome", 1).handled_by("count", 1);
}
// ANCHOR_END: test

#[tokio::test(start_paused = true)]
async fn clicks_are_reported_and_archived() {
    let kit = TestKit::new();
    produce(&kit.publisher("web"), &Producer::new(&kit.transport("web"))).await.unwrap();
    let transport = kit.transport("reporting");
    let mut running = Vec::new();
    for worker in workers(&transport).unwrap() {
        running.push(worker.start().await.unwrap());
    }
    let reports = <Reports as Topic>::NAME;
    let done = || running.iter().map(|worker| worker.status().done()).sum::<u64>() == 2;
    while kit.broker().records(&reports).is_empty() || !done() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let record = kit.broker().records(&reports).remove(0);
    let entry: Entry = serde_json::from_slice(record.payload.as_deref().unwrap()).unwrap();
    assert_eq!(entry, Entry { text: "ada saw /prices".into() });
}

#[cfg(feature = "cli")]
#[test]
fn what_an_attribute_made_runs_from_the_command_line() {
    let run = |arguments: &[&str]| commands(arguments.iter().map(Into::into).collect());
    assert_eq!(run(&["site", "--help"]), std::process::ExitCode::SUCCESS);
    let unknown = run(&["site", "--brokers", "localhost:1", "worker", "no-such-worker"]);
    assert_eq!(unknown, std::process::ExitCode::from(3));
}
