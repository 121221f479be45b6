//! Kafka, on librdkafka.
//!
//! ```no_run
//! use tidings::transport::kafka::{Kafka, KafkaConfig};
//! use tidings::publisher::Publisher;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let kafka = Kafka::connect(KafkaConfig::new("user-service", "localhost:9092").with_env()?)?;
//! let publisher = Publisher::new(&kafka);
//! # Ok(())
//! # }
//! ```

mod admin;
pub mod config;
mod embedded;
mod errors;
mod ffi;
mod offsets;
mod probe;
mod producer;
mod rebalance;
mod source;

use std::sync::Arc;

use rdkafka::ClientConfig;

pub use config::KafkaConfig;
pub use embedded::EmbeddedBroker;

use self::admin::KafkaAdmin;
use self::config::{InvalidKafkaConfig, Properties};
use self::producer::{KafkaProducer, Waits};
use super::{Admin, ConsumerDefaults, Producer, Source, Subscription, Transport, TransportError};
use crate::clock::BrokerClock;
use crate::error::ErrorClass;
use crate::event::Source as ServiceName;

/// A client of a Kafka cluster: one producer, one admin client, and a member for each consumer.
/// Cheap to clone.
#[derive(Clone)]
pub struct Kafka(Arc<Client>);

struct Client {
    config: KafkaConfig,
    service: ServiceName,
    clock: BrokerClock,
    producer: Arc<KafkaProducer>,
    admin: Arc<KafkaAdmin>,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] InvalidKafkaConfig),
    /// librdkafka refuses it.
    #[error("there is no Kafka client")]
    Client(#[from] TransportError),
}

impl Kafka {
    /// Makes the clients. They connect by themselves and go on trying: a broker that is away is no
    /// error here, and shows in health.
    ///
    /// # Errors
    /// When the configuration cannot be used.
    pub fn connect(config: KafkaConfig) -> Result<Self, ConnectError> {
        Self::new(config, None)
    }

    /// A client of an embedded broker; its address wins over the configured one.
    ///
    /// # Errors
    /// When the configuration cannot be used.
    pub fn embedded(broker: &EmbeddedBroker, config: KafkaConfig) -> Result<Self, ConnectError> {
        Self::new(config.bootstrap_servers(broker.bootstrap_servers()), Some(broker.clone()))
    }

    fn new(config: KafkaConfig, embedded: Option<EmbeddedBroker>) -> Result<Self, ConnectError> {
        config.validate()?;
        let service = &config.connection().service_name;
        let service =
            if service.is_empty() { config.effective_client_id() } else { service.clone() };
        let service = ServiceName::new(&service).map_err(|error| TransportError {
            what: format!("the service name {service:?} cannot be an event's source"),
            class: ErrorClass::Permanent,
            source: Some(error.into()),
        })?;
        let clock = BrokerClock::new();
        let waits = Waits {
            capacity: config.producer().queue_capacity as usize,
            send: config.producer().send_wait,
            delivery: config.producer().delivery_wait,
        };
        let settings = client_config(&config.producer_properties());
        let producer = KafkaProducer::start(&settings, &waits, clock.clone())?;
        let admin = KafkaAdmin::new(&client_config(&config.admin_properties()), embedded)?;
        Ok(Self(Arc::new(Client { config, service, clock, producer, admin: Arc::new(admin) })))
    }

    /// The configuration that it was made with.
    pub fn config(&self) -> &KafkaConfig {
        &self.0.config
    }
}

impl Transport for Kafka {
    fn service(&self) -> &ServiceName {
        &self.0.service
    }

    fn system(&self) -> &'static str {
        "kafka"
    }

    fn producer(&self) -> Arc<dyn Producer> {
        self.0.producer.clone()
    }

    fn admin(&self) -> Arc<dyn Admin> {
        self.0.admin.clone()
    }

    fn clock(&self) -> &BrokerClock {
        &self.0.clock
    }

    fn subscribe(&self, subscription: Subscription) -> Result<Source, TransportError> {
        let properties = self.0.config.consumer_properties(&subscription.group);
        source::start(&client_config(&properties), subscription)
    }

    fn consumer_defaults(&self) -> ConsumerDefaults {
        let (consumer, failure) = (self.0.config.consumer(), self.0.config.failure());
        ConsumerDefaults {
            group: consumer.group_id.clone(),
            static_member: consumer.static_member_id.is_some(),
            retry: failure.retry_policy(),
            naming: failure.topic_naming(),
            unknown: failure.unknown_type,
            prefetch: consumer.prefetch as usize,
            commit_every_events: u64::from(consumer.commit_every),
            commit_every: consumer.commit_interval,
        }
    }
}

impl std::fmt::Debug for Kafka {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Kafka").field(&self.0.config).finish()
    }
}

fn client_config(properties: &Properties) -> ClientConfig {
    let mut config = ClientConfig::new();
    for (name, value) in properties.iter() {
        config.set(name, value);
    }
    config
}
