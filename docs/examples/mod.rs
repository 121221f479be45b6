//! The code of the book. `tests/documentation.rs` compiles and runs it.

#[cfg(feature = "testing")]
mod attributes;
#[cfg(feature = "cli")]
mod cli;
#[cfg(feature = "testing")]
mod coming_from_faststream;
#[cfg(feature = "testing")]
mod coming_from_nservicebus;
#[cfg(feature = "testing")]
mod coming_from_python_clients;
#[cfg(feature = "testing")]
mod coming_from_spring_kafka;
#[cfg(feature = "testing")]
mod coming_from_wolverine;
mod configuration;
mod consuming;
mod contracts;
#[cfg(feature = "postgres")]
mod inbox;
mod lifespan;
mod mapping;
mod mediator;
#[cfg(feature = "postgres")]
mod outbox;
mod producer;
mod publishing;
mod retries;
mod state;
#[cfg(feature = "otel")]
mod telemetry;
#[cfg(feature = "testing")]
mod testing;
#[cfg(all(feature = "testing", feature = "sqlite"))]
mod testing_outbox;
mod topics;
mod workers;

use tidings::transport::kafka::{EmbeddedBroker, Kafka, KafkaConfig};

// ANCHOR: embedded
/// A client of a broker in this process.
fn embedded(service: &str) -> Kafka {
    let broker = EmbeddedBroker::start().unwrap();
    Kafka::embedded(&broker, KafkaConfig::default().service_name(service)).unwrap()
}
// ANCHOR_END: embedded
