//! One trace from an HTTP request to the handler in another service, on a real Kafka.
//!
//! The other service is this binary again, as a process of its own. A binary of its own, since a
//! subscriber for all threads can be installed only once.
#![cfg(all(feature = "otel", feature = "axum"))]

#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use axum::Router;
use axum::extract::State as AxumState;
use axum::routing::post;
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};
use serde::{Deserialize, Serialize};
use support::*;
use tidings::IntegrationEvent;
use tidings::consumer::*;
use tidings::event::TopicName;
use tidings::publisher::Publisher;
use tidings::retry::RetryPolicy;
use tracing::Instrument;
use tracing_subscriber::prelude::*;

const TOPIC: &str = "TIDINGS_TEST_TRACE_TOPIC";
const SPANS: &str = "TIDINGS_TEST_TRACE_SPANS";

/// This run's topic; the other service is told it.
fn topic() -> &'static str {
    static NAME: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    NAME.get_or_init(|| std::env::var(TOPIC).unwrap_or_else(|_| unique("trace")))
}

#[derive(Debug, Serialize, Deserialize)]
struct Ordered {
    n: u32,
}

impl IntegrationEvent for Ordered {
    const NAME: &'static str = "ordered";

    fn topics() -> Vec<TopicName> {
        vec![TopicName::new(topic()).unwrap()]
    }

    fn topic(&self) -> TopicName {
        Self::topics().remove(0)
    }
}

/// What is asserted of a span; one line of text each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Traced {
    name: String,
    trace: String,
    id: String,
    parent: String,
    kind: String,
    attributes: BTreeMap<String, String>,
}

fn traced() -> InMemorySpanExporter {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    let only_ours = tracing_subscriber::filter::Targets::new()
        .with_target("tidings", tracing::Level::INFO)
        .with_target("trace", tracing::Level::INFO);
    tracing_subscriber::registry().with(layer.with_filter(only_ours)).init();
    exporter
}

fn spans(exporter: &InMemorySpanExporter) -> Vec<Traced> {
    let spans = exporter.get_finished_spans().unwrap().into_iter();
    spans
        .map(|span| Traced {
            name: span.name.to_string(),
            trace: span.span_context.trace_id().to_string(),
            id: span.span_context.span_id().to_string(),
            parent: span.parent_span_id.to_string(),
            kind: format!("{:?}", span.span_kind),
            attributes: span
                .attributes
                .iter()
                .map(|attribute| (attribute.key.to_string(), attribute.value.to_string()))
                .collect(),
        })
        .collect()
}

/// The other service; does nothing unless the test below has started it.
#[test]
fn a_subject_of_the_other_test() {
    let Ok(file) = std::env::var(SPANS) else { return };
    let exporter = traced();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let kafka = client("mail", &kafka_address().unwrap());
        let running = Consumer::builder(format!("{}.mail", topic()))
            .handle_named("welcome", |Event(_): Event<Ordered>, Attempt(attempt): Attempt| {
                let work = async move {
                    match attempt {
                        1 => Err(HandlerError::transient("not yet")),
                        _ => Ok(()),
                    }
                };
                work.instrument(tracing::info_span!("work"))
            })
            .retry(RetryPolicy::tiers([Duration::from_millis(200)]).immediate(0))
            .topics(TopicSetup::Create { partitions: Some(1), replication: None })
            .build(&kafka)
            .unwrap()
            .start()
            .await
            .unwrap();
        let both =
            || spans(&exporter).iter().filter(|span| span.name.starts_with("receive")).count();
        eventually("it was received twice", SOON, || both() == 2).await;
        let mut out = std::fs::File::create(&file).unwrap();
        for span in spans(&exporter) {
            writeln!(out, "{}", serde_json::to_string(&span).unwrap()).unwrap();
        }
        writeln!(out, "end").unwrap();
        assert!(running.stop(SOON).await.is_clean());
    });
}

struct OtherService(Child);

impl Drop for OtherService {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn order(AxumState(publisher): AxumState<Publisher>) -> &'static str {
    let work = async { publisher.publish(Ordered { n: 1 }).await.map(|_| "ordered").unwrap() };
    work.instrument(tracing::info_span!("request", otel.kind = "server")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_trace_runs_from_a_request_through_publish_to_receive_and_handle_in_another_process() {
    let Some(broker) = kafka_address() else { return };
    if std::env::var(SPANS).is_ok() {
        return;
    }
    let topic = topic();
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(unique("spans"));
    let other = Command::new(std::env::current_exe().unwrap())
        .args(["a_subject_of_the_other_test", "--exact", "--nocapture"])
        .env(TOPIC, topic)
        .env(SPANS, &file)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let _other = OtherService(other);
    let exporter = traced();
    let kafka = client("orders", &broker);
    create_topics(&kafka, &[(topic, 1, false)]).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/orders", post(order)).with_state(Publisher::new(&kafka));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let client = reqwest::Client::new();
    let answer = client.post(format!("http://{address}/orders")).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "ordered");

    let lines = || std::fs::read_to_string(&file).unwrap_or_default();
    eventually("the other service is done", SOON, || lines().ends_with("end\n")).await;
    let mut all = spans(&exporter);
    let theirs = lines();
    all.extend(theirs.lines().filter_map(|line| serde_json::from_str(line).ok()));
    std::fs::remove_file(&file).unwrap();

    let named = |start: &str| {
        let found: Vec<_> = all.iter().filter(|span| span.name.starts_with(start)).collect();
        assert!(!found.is_empty(), "no {start} in {all:#?}");
        found
    };
    let (request, publish) = (named("request")[0], named("publish")[0]);
    let (received, handled, work) = (named("receive"), named("process"), named("work"));
    for span in [publish].iter().chain(&received).chain(&handled).chain(&work) {
        assert_eq!(span.trace, request.trace, "{span:#?}");
    }
    assert_eq!(publish.parent, request.id);
    assert_eq!((&*request.kind, &*publish.kind), ("Server", "Producer"));
    assert_eq!((received.len(), handled.len(), work.len()), (2, 2, 2), "main topic and tier");
    for attempt in 0..2 {
        assert_eq!(received[attempt].parent, publish.id, "it was the publish that caused it");
        assert_eq!(handled[attempt].parent, received[attempt].id);
        assert_eq!(work[attempt].parent, handled[attempt].id);
        assert_eq!(received[attempt].kind, "Consumer");
    }
    assert_eq!(publish.name, format!("publish {topic}"));
    assert_eq!(received[0].name, format!("receive {topic}"));
    assert_eq!(received[1].name, format!("receive {topic}.retry.200ms"));
    for (attempt, outcome) in [(0, "transient"), (1, "done")] {
        let said = &handled[attempt].attributes;
        assert_eq!(said["tidings.outcome"], outcome);
        assert_eq!(said["tidings.attempt"], (attempt + 1).to_string());
        assert_eq!(said["messaging.consumer.group.name"], format!("{topic}.mail"));
    }
}
