//! Metrics, as an OpenTelemetry reader collects them.

use std::collections::BTreeMap;

use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData};
use opentelemetry_sdk::metrics::{InMemoryMetricExporter, PeriodicReader, SdkMeterProvider};
use tidings::IntegrationEvent;
use tidings::consumer::{Consumer, Event, HandlerError};
use tidings::producer::{Message, Producer};
use tidings::publisher::Publisher;
use tidings::retry::Backoff;
use tidings::state::{AnyTopic, StateView, StateWriter};
use tidings::telemetry::{Metrics, names::metric};
use tidings::transport::memory::TopicConfig;

use crate::stage::*;
use crate::support::*;

#[derive(serde::Serialize, serde::Deserialize, IntegrationEvent)]
#[event(unkeyed, name = "paid", topic = "paid")]
struct Paid(u32);

async fn takes(_: Event<Paid>) -> Result<(), HandlerError> {
    Ok(())
}

async fn refuses(_: Event<Paid>) -> Result<(), HandlerError> {
    Err(HandlerError::permanent("never"))
}

struct Collected(SdkMeterProvider, InMemoryMetricExporter);

impl Collected {
    fn new() -> Self {
        let exporter = InMemoryMetricExporter::default();
        let reader = PeriodicReader::builder(exporter.clone()).build();
        Self(SdkMeterProvider::builder().with_reader(reader).build(), exporter)
    }

    /// What is reported now, by name and the values of attributes.
    fn now(&self) -> BTreeMap<String, f64> {
        self.1.reset();
        self.0.force_flush().unwrap();
        let mut found = BTreeMap::new();
        for resource in self.1.get_finished_metrics().unwrap() {
            for metric in resource.scope_metrics().flat_map(|scope| scope.metrics()) {
                let mut note = |attributes: Vec<String>, value: f64| {
                    let name = format!("{} {}", metric.name(), attributes.join(" "));
                    assert!(found.insert(name, value).is_none(), "reported twice");
                };
                let texts = |attributes: &mut dyn Iterator<Item = &opentelemetry::KeyValue>| {
                    let mut texts: Vec<_> = attributes.map(|kv| kv.value.to_string()).collect();
                    texts.sort();
                    texts
                };
                match metric.data() {
                    AggregatedMetrics::U64(MetricData::Sum(sum)) => {
                        for point in sum.data_points() {
                            note(texts(&mut point.attributes()), point.value() as f64);
                        }
                    }
                    AggregatedMetrics::F64(MetricData::Gauge(gauge)) => {
                        for point in gauge.data_points() {
                            note(texts(&mut point.attributes()), point.value());
                        }
                    }
                    other => panic!("{}: {other:?}", metric.name()),
                }
            }
        }
        found
    }
}

#[tokio::test]
async fn what_is_sent_consumed_and_waiting_is_reported_as_long_as_somebody_does_it() {
    let stage = stage().await;
    let collected = Collected::new();
    let metrics = Metrics::new(collected.0.meter("shop"));
    let client = stage.client();
    let publisher = Publisher::new(&client);
    metrics.publisher(&publisher);
    let producer = Producer::new(&client);
    metrics.producer(&producer);
    let clicks = tidings::event::TopicName::from_static("clicks");
    stage.broker.create_topic(clicks.clone(), TopicConfig::default());
    let click = || Message::new(clicks.clone(), &7).unwrap();
    producer.send(click()).await.unwrap();
    producer.send(click().partition(99)).await.unwrap_err();
    let rates = tidings::event::TopicName::from_static("rates");
    let create = tidings::consumer::TopicSetup::Create { partitions: None, replication: None };
    let view: StateView<AnyTopic, u32> =
        StateView::named(rates.clone()).topics(create).start(&client).await.unwrap();
    metrics.state_view(view.status());
    StateWriter::named(Producer::new(&client), rates).put("eur", &7).await.unwrap();
    let mut groups = Vec::new();
    for group in ["mail", "audit"] {
        let consumer = Consumer::builder(group)
            .topics(tidings::consumer::TopicSetup::Create { partitions: None, replication: None });
        let consumer = match group {
            "mail" => consumer.handle(takes),
            _ => consumer.handle(refuses),
        };
        let running = consumer.build(&client).unwrap().start().await.unwrap();
        metrics.consumer(running.status());
        groups.push(running);
    }
    let relay = stage
        .relay()
        .name("relay-1")
        .backoff(Backoff::fixed(std::time::Duration::from_millis(5)))
        .park_after(1);
    let relay = relay.build(&client).unwrap().start();
    metrics.relay(relay.status());
    let name = relay.status().name().to_owned();
    publisher.publish(Paid(1)).await.unwrap();
    stage
        .store_all(vec![event("a", 2), event_on(MISSING, "b", 3), event_on(MISSING, "b", 4)])
        .await;
    let has = |name: &str, value: f64| collected.now().get(name) == Some(&value);
    for (metric, value) in [
        ("messaging.client.sent.messages acknowledged memory", 1.0),
        ("messaging.client.sent.messages failed memory", 0.0),
        ("tidings.producer.messages acknowledged memory", 1.0),
        ("tidings.producer.messages failed memory", 1.0),
        ("tidings.producer.messages memory retried", 0.0),
        ("tidings.producer.open memory", 0.0),
        ("messaging.client.consumed.messages handled mail", 2.0),
        ("messaging.client.consumed.messages audit dead_lettered", 2.0),
        ("messaging.client.consumed.messages audit handled", 0.0),
        ("tidings.state.keys rates", 1.0),
        ("tidings.state.unreadable rates", 0.0),
        ("tidings.state.ready rates", 1.0),
        ("tidings.consumer.ready mail", 1.0),
        ("tidings.consumer.paused mail", 0.0),
        ("tidings.relay.messages published relay-1", 1.0),
        ("tidings.relay.messages parked relay-1", 1.0),
        ("tidings.relay.ready relay-1", 1.0),
        ("tidings.outbox.parked relay-1", 1.0),
        ("tidings.outbox.behind_parked relay-1", 1.0),
        ("tidings.outbox.waiting relay-1", 0.0),
        ("tidings.outbox.oldest relay-1", 0.0),
        ("tidings.outbox.shards relay-1 relay-1", 64.0),
    ] {
        let metric = metric.replace("relay-1", &name);
        eventually(&format!("{metric} is {value}"), SOON, || has(&metric, value)).await;
    }
    let names: std::collections::BTreeSet<_> = collected
        .now()
        .into_keys()
        .map(|name| name.split(' ').next().unwrap().to_owned())
        .collect();
    assert_eq!(names, metric::ALL.iter().map(|metric| metric.name.to_owned()).collect());
    drop(view);
    stop(relay).await;
    let _ = groups.remove(0).stop(SOON).await;
    eventually("those that stopped say no more", SOON, || {
        let now = collected.now();
        let gone = |name: &&String| {
            [" mail", "relay-1", " rates"].iter().any(|whose| name.contains(whose))
        };
        !now.keys().any(|name| gone(&name)) && now.keys().any(|name| name.ends_with(" audit"))
    })
    .await;
}
