//! Kafka, on librdkafka.

mod admin;
mod embedded;
mod errors;
mod ffi;
mod probe;
mod producer;
mod rebalance;
mod source;
pub use embedded::EmbeddedBroker;
