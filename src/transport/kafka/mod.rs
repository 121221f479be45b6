//! The Kafka transport, on librdkafka.

pub mod config;
