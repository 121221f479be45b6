//! A suite that finds nothing shows nothing: clients with one fault each, and who must notice.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tidings::clock::BrokerClock;
use tidings::error::BoxError;
use tidings::event::{EventId, Headers, Source as ServiceName, TopicName};
use tidings::testing::conformance::{
    Behaviour, Capability, ClientSpec, Lack, Limits, Outcome, Report, Subject, Suite,
};
use tidings::transport::memory::MemoryBroker;
use tidings::transport::{
    Admin, ConsumerDefaults, Offsets, Producer, Receipt, Record, Source, Subscription, TopicReader,
    Transport, TransportError, Unreachable,
};

use crate::memory::InMemory;

/// What is wrong with a client's producer.
type Fault = fn(&mut Record);

type Wanted = fn(&Behaviour) -> bool;

/// The memory transport with a fault.
struct Faulty {
    inner: InMemory,
    fault: Fault,
    lacks: Vec<Lack>,
}

#[async_trait]
impl Subject for Faulty {
    fn name(&self) -> &str {
        "faulty"
    }

    fn client(&self, wanted: &ClientSpec) -> Result<Arc<dyn Transport>, BoxError> {
        Ok(Arc::new(FaultyClient(self.inner.client(wanted)?, self.fault)))
    }

    fn lacks(&self) -> Vec<Lack> {
        self.lacks.clone()
    }

    fn limits(&self) -> Limits {
        self.inner.limits()
    }

    async fn delete_topic(&self, topic: &TopicName) -> Result<(), BoxError> {
        self.inner.delete_topic(topic).await
    }
}

struct FaultyClient(Arc<dyn Transport>, Fault);

impl Transport for FaultyClient {
    fn service(&self) -> &ServiceName {
        self.0.service()
    }

    fn system(&self) -> &'static str {
        self.0.system()
    }

    fn producer(&self) -> Arc<dyn Producer> {
        Arc::new(FaultyProducer(self.0.producer(), self.1))
    }

    fn admin(&self) -> Arc<dyn Admin> {
        self.0.admin()
    }

    fn subscribe(&self, subscription: Subscription) -> Result<Source, TransportError> {
        self.0.subscribe(subscription)
    }

    fn read(&self, from: Offsets) -> Result<TopicReader, TransportError> {
        self.0.read(from)
    }

    fn clock(&self) -> &BrokerClock {
        self.0.clock()
    }

    fn consumer_defaults(&self) -> ConsumerDefaults {
        self.0.consumer_defaults()
    }
}

struct FaultyProducer(Arc<dyn Producer>, Fault);

#[async_trait]
impl Producer for FaultyProducer {
    fn enqueue(&self, record: &Record, receipt: Receipt) -> Result<(), Receipt> {
        let mut record = record.clone();
        (self.1)(&mut record);
        self.0.enqueue(&record, receipt)
    }

    async fn room(&self) {
        self.0.room().await;
    }

    fn send_wait(&self) -> Duration {
        self.0.send_wait()
    }

    fn delivery_wait(&self) -> Duration {
        self.0.delivery_wait()
    }

    fn reachable(&self) -> Result<(), Unreachable> {
        self.0.reachable()
    }

    async fn close(&self, within: Duration) -> Vec<EventId> {
        self.0.close(within).await
    }
}

async fn report(fault: Fault, lacks: Vec<Lack>, wanted: Wanted) -> Report {
    let inner = InMemory { name: "memory", broker: MemoryBroker::new() };
    Suite::new(Faulty { inner, fault, lacks }).only(wanted).run().await
}

/// The names of what failed.
fn failed(report: &Report) -> Vec<&'static str> {
    let entries = report.entries.iter();
    let failed = entries.filter(|entry| matches!(entry.outcome, Outcome::Failed { .. }));
    failed.map(|entry| entry.behaviour.name()).collect()
}

fn headers_without_value(record: &mut Record) {
    let mut headers = Headers::default();
    for (name, value) in record.headers.iter() {
        headers.push(name, value.unwrap_or_default());
    }
    record.headers = headers;
}

#[tokio::test(start_paused = true)]
async fn a_fault_fails_the_behaviours_that_it_breaks_and_says_what_was_seen() {
    let faults: [(Fault, Wanted, &str); 5] = [
        (
            headers_without_value,
            |behaviour| behaviour.area() == "headers",
            "a header without a value is not one with an empty value",
        ),
        (
            |record| record.payload = Some(record.payload.take().unwrap_or_default()),
            |behaviour| behaviour.area() == "payloads",
            "a tombstone comes as one",
        ),
        (
            |record| record.payload = record.payload.take().filter(|payload| !payload.is_empty()),
            |behaviour| behaviour.area() == "payloads",
            "an empty payload is no tombstone",
        ),
        (
            |record| record.key = record.key.take().filter(|key| !key.is_empty()),
            |behaviour| behaviour.area() == "payloads",
            "an empty key is not a missing one",
        ),
        (
            |record| record.timestamp = None,
            |behaviour| behaviour.area() == "topics",
            "another topic's records carry the producer's time",
        ),
    ];
    for (fault, wanted, expected) in faults {
        let report = report(fault, Vec::new(), wanted).await;
        assert_eq!(failed(&report), [expected], "{report}");
        assert!(!report.is_conformant());
        let table = report.to_string();
        assert!(table.contains("FAILED: ") && table.contains("expected"), "{table}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_declared_as_lacking_is_tried_and_reported_with_its_reason() {
    let lacks = || vec![Lack::new(Capability::HeadersWithoutValue, "it writes them as empty")];
    let wanted: Wanted = |behaviour| behaviour.area() == "headers";
    let declared = report(headers_without_value, lacks(), wanted).await;
    assert!(declared.is_conformant(), "{declared}");
    let table = declared.to_string();
    let row = "lacks headers without value: it writes them as empty; the headers: expected";
    assert!(table.contains(row), "{table}");

    let rotten = report(|_| (), lacks(), wanted).await;
    assert!(!rotten.is_conformant(), "{rotten}");
    let row = "PASSED, but headers without value is declared as lacking";
    assert!(rotten.to_string().contains(row), "{rotten}");
}
