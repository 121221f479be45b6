//! Workers: a typed input topic, a function, a typed output topic.

// ANCHOR: topics
use serde::{Deserialize, Serialize};
use tidings::{IntegrationEvent, Topic};

/// A plain value: other programs write it, as JSON.
#[derive(Serialize, Deserialize)]
pub struct Visit {
    pub page: String,
    pub seconds: u32,
}

#[derive(Serialize, Deserialize, IntegrationEvent)]
#[event(key = page, topic = Reports)]
pub struct PageRead {
    pub page: String,
}

#[derive(Topic)]
#[topic(kind = event, name = "site.visits", carries(Visit), partitions = 6, replication = auto)]
pub struct Visits;

#[derive(Topic)]
#[topic(kind = event, name = "site.reports", carries(PageRead), replication = auto)]
pub struct Reports;
// ANCHOR_END: topics

// ANCHOR: worker
use std::time::Duration;

use tidings::consumer::{BuildError, HandlerError, State, TopicSetup, Value};
use tidings::transport::Transport;
use tidings::transport::kafka::Kafka;
use tidings::worker::{Backoff, Worker};

#[derive(Clone)]
pub struct Limits {
    read_after: u32,
}

/// `None`: nothing follows from this visit.
async fn read(
    Value(visit): Value<Visit>,
    State(limits): State<Limits>,
) -> Result<Option<PageRead>, HandlerError> {
    Ok((visit.seconds >= limits.read_after).then_some(PageRead { page: visit.page }))
}

/// Of Kafka in production, of the test kit in tests.
pub fn reports<T: Transport + Clone>(transport: &T) -> Result<Worker, BuildError> {
    Worker::builder("page-reports")
        .input::<Visits>()
        .output::<Reports>() // a function that answers what it does not carry does not compile
        .process(read)
        .state(Limits { read_after: 30 })
        .concurrency(16)
        .max_retries(5)
        .backoff(Backoff::exponential(Duration::from_millis(200)).cap(Duration::from_secs(5)))
        .topics(TopicSetup::Create { partitions: None, replication: None })
        .build(transport)
}
// ANCHOR_END: worker

// ANCHOR: batch
use tidings::worker::Item;

/// One insert for all of them; an outcome for each, in their order.
async fn store(batch: Vec<Item<Value<Visit>>>) -> Vec<Result<(), HandlerError>> {
    println!("{} visits", batch.len());
    let outcome = |item: Item<Value<Visit>>| match item.input.0.seconds {
        0 => Err(HandlerError::permanent("nobody visits for no time")),
        _ => Ok(()),
    };
    batch.into_iter().map(outcome).collect()
}

pub fn storing(kafka: &Kafka) -> Result<Worker, BuildError> {
    Worker::builder("visit-store")
        .input::<Visits>()
        .process_batch(100, Duration::from_millis(500), store)
        .topics(TopicSetup::Create { partitions: None, replication: None })
        .build(kafka)
}
// ANCHOR_END: batch

// ANCHOR: type
use tidings::consumer::Delivery;
use tidings::worker::Process;

/// A worker that is a type holds what it needs.
pub struct Counting {
    site: String,
}

impl Process for Counting {
    type Input = Value<Visit>;
    type Output = ();

    async fn process(
        &self,
        Value(visit): Value<Visit>,
        delivery: &Delivery,
    ) -> Result<(), HandlerError> {
        println!("{}/{}: attempt {}", self.site, visit.page, delivery.attempt());
        Ok(())
    }

    async fn on_error(&self, error: &HandlerError, delivery: &Delivery) {
        println!("{} failed: {}", delivery.metadata().id, error.message());
    }

    async fn on_success(&self, delivery: &Delivery) {
        println!("{} is done", delivery.metadata().id);
    }
}

pub fn counting(kafka: &Kafka) -> Result<Worker, BuildError> {
    let work = Counting { site: "example.org".into() };
    Worker::builder("counting").input::<Visits>().process(work).build(kafka)
}
// ANCHOR_END: type

// ANCHOR: run
use tidings::consumer::StopReport;
use tidings::error::BoxError;
use tidings::worker::Workers;

pub async fn run(
    kafka: &Kafka,
    shutdown: impl Future<Output = ()>,
) -> Result<Vec<(String, StopReport)>, BoxError> {
    let workers = Workers::new().worker(reports(kafka)?).worker(storing(kafka)?);
    let running = workers.start().await?;
    shutdown.await;
    for status in running.statuses() {
        println!(
            "{}: {} done, {} failed, {:.0}/s",
            status.name(),
            status.done(),
            status.failed(),
            status.rate()
        );
    }
    Ok(running.stop(Duration::from_secs(20)).await)
}
// ANCHOR_END: run

// ANCHOR: commands
#[cfg(feature = "cli")]
pub fn commands(arguments: Vec<std::ffi::OsString>) -> std::process::ExitCode {
    let app = tidings::cli::App::new("site")
        .topic::<Visits>()
        .topic::<Reports>()
        .worker("page-reports", reports)
        .worker("visit-store", storing);
    tidings::cli::run_from(app, arguments)
}
// ANCHOR_END: commands

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn visits_become_reports() {
    use tidings::producer::{Message, Producer};

    let kafka = super::embedded("site");
    let (done, heard) = tokio::sync::oneshot::channel::<()>();
    let workers = {
        let kafka = kafka.clone();
        tokio::spawn(async move { run(&kafka, async { heard.await.unwrap() }).await.unwrap() })
    };
    let reader = tidings::consumer::Consumer::builder("readers");
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let reader = reader
        .handle_named(
            "read",
            move |tidings::consumer::Event(report): tidings::consumer::Event<PageRead>| {
                tell.send(report.page).unwrap();
                async { Ok::<_, HandlerError>(()) }
            },
        )
        .topics(TopicSetup::Create { partitions: None, replication: None });
    let reader = reader.build(&kafka).unwrap().start().await.unwrap();
    let visit = |page: &str, seconds| {
        let visit = Visit { page: page.into(), seconds };
        Message::on::<Visits>(&visit).unwrap().key(page)
    };
    let setup = TopicSetup::Create { partitions: None, replication: None };
    let within = Duration::from_secs(10);
    tidings::publisher::Publisher::prepare_topics(&kafka, [Visits::spec()], setup, within)
        .await
        .unwrap();
    Producer::new(&kafka).send_all(vec![visit("a", 3), visit("b", 60)]).await.unwrap();
    assert_eq!(told.recv().await.as_deref(), Some("b"));
    done.send(()).unwrap();
    assert!(workers.await.unwrap().iter().all(|(_, report)| report.is_clean()));
    assert!(reader.stop(within).await.is_clean());
    assert!(counting(&kafka).is_ok());
}

#[cfg(feature = "cli")]
#[test]
fn the_commands_know_the_workers() {
    assert_eq!(commands(vec!["site".into(), "describe".into()]), std::process::ExitCode::SUCCESS);
}
