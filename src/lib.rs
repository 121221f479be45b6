//! Integration events for services built the DDD way: from the command that caused them, through
//! Kafka, to the typed handler that reacts.
//!
//! A service says what happened in a *domain event*. An [event mapper](mapper) turns it into
//! *integration events*: contracts with a name, a version, a topic and a partition key. The
//! [mediator] has them published once the command that raised them has succeeded. Other services
//! read them with a [consumer](mod@consumer).
//!
#![cfg_attr(all(feature = "macros", feature = "json", feature = "kafka"), doc = "```no_run")]
#![cfg_attr(not(all(feature = "macros", feature = "json", feature = "kafka")), doc = "```ignore")]
//! use serde::{Deserialize, Serialize};
//! use tidings::IntegrationEvent;
//! use tidings::consumer::{Consumer, Event, HandlerError, TopicSetup};
//! use tidings::publisher::Publisher;
//! use tidings::transport::kafka::{Kafka, KafkaConfig};
//!
//! #[derive(Serialize, Deserialize, IntegrationEvent)]
//! #[event(key = user_id)] // topic integration-events.user_created, version 1
//! pub struct UserCreated {
//!     pub user_id: uuid::Uuid,
//!     pub email: String,
//! }
//!
//! async fn welcome(Event(user): Event<UserCreated>) -> Result<(), HandlerError> {
//!     println!("welcome, {}", user.email);
//!     Ok(())
//! }
//!
//! # async fn run(user: UserCreated) -> Result<(), tidings::error::BoxError> {
//! let kafka = Kafka::connect(KafkaConfig::new("user-service", "localhost:9092").with_env()?)?;
//!
//! // At least once, in the order of each key, with retry tiers and dead letters.
//! let consumer = Consumer::builder("email-service")
//!     .handle(welcome)
//!     .topics(TopicSetup::Create { partitions: Some(6), replication: None })
//!     .build(&kafka)?;
//! let running = consumer.start().await?;
//!
//! // `Ok` once the broker has acknowledged it.
//! Publisher::new(&kafka).publish(user).await?;
//! # drop(running);
//! # Ok(())
//! # }
//! ```
//!
//! # The map
//!
//! Modules lie on floors. A floor uses those under it and never one above; a test reads every path
//! in the sources and fails when one climbs.
//!
//! | floor | modules |
//! | --- | --- |
//! | 6 edges | `web`: axum lifespan and health; `cli`: the command line; `testing`: the test kit, the simulator, the conformance suite for transports |
//! | 5 adapters | `transport::kafka`: the only place that names librdkafka; `transport::memory`: for tests; `store::postgres`, `store::sqlite`: the only ones that name `sqlx` |
//! | 4 runtime | [`publisher`], [`producer`](mod@producer), [`consumer`](mod@consumer), [`worker`](mod@worker), [`outbox`], [`inbox`], [`state`], [`telemetry`] |
//! | 3 ports | [`transport`]: producer, source, admin, record; [`store`]: outbox, inbox |
//! | 2 application | [`mediator`], [`mapper`] |
//! | 1 formats | [`codec`], [`topic`], [`retry`] |
//! | 0 words | [`event`], [`error`], [`clock`]; `task`: where tasks are started |
//!
//! # Features
//!
//! Each is additive and builds alone. Without any of them nothing here compiles C code.
//!
//! | feature | default | what it brings |
//! | --- | --- | --- |
//! | `macros` | yes | `#[derive(IntegrationEvent, DomainEvent, Command, Query, Topic)]`, and `#[producer]`, `#[consumer]`, `#[worker]` on functions |
//! | `json` | yes | JSON payloads |
//! | `kafka` | yes | the Kafka transport on librdkafka, which is compiled from C |
//! | `kafka-tls` | no | TLS and SASL/SCRAM for Kafka; links OpenSSL |
//! | `kafka-gssapi` | no | SASL/GSSAPI (Kerberos) for Kafka; links Cyrus SASL |
//! | `axum` | no | `web`: lifespan, health routes |
//! | `postgres` | no | outbox and inbox on PostgreSQL |
//! | `sqlite` | no | outbox and inbox on SQLite, which is compiled from C |
//! | `cli` | no | `cli`: the command line `tidings`, also for a binary of one's own |
//! | `otel` | no | metrics, and trace context between `tracing` spans and event headers, as OpenTelemetry has it |
//! | `testing` | no | the memory transport with virtual time; `testing`: the test kit, the simulator, and the conformance suite for transports |
// Without a format `Format` has no values, and what takes one is never reached.
#![cfg_attr(not(feature = "json"), allow(dead_code, unreachable_code, unused_variables))]

#[cfg(feature = "cli")]
pub mod cli;
pub mod clock;
pub mod codec;
pub mod consumer;
pub mod error;
pub mod event;
pub mod inbox;
pub mod mapper;
pub mod mediator;
pub mod outbox;
pub mod producer;
pub mod publisher;
pub mod retry;
pub mod state;
pub mod store;
mod task;
pub mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
pub mod topic;
pub mod transport;
#[cfg(feature = "axum")]
pub mod web;
pub mod worker;

pub use event::{DomainEvent, IntegrationEvent};
pub use mediator::{Command, Query};
#[cfg(feature = "macros")]
pub use tidings_macros::{
    Command, DomainEvent, IntegrationEvent, Query, Topic, consumer, producer, worker,
};
pub use topic::Topic;

/// The README's code compiles.
#[cfg(all(doctest, feature = "macros", feature = "json", feature = "kafka"))]
#[doc = include_str!("../README.md")]
mod readme {}
