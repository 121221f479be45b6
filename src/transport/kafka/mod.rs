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
mod answers;
mod bootstrap;
mod committed;
pub mod config;
mod embedded;
mod ends;
mod errors;
mod ffi;
mod log;
mod offsets;
mod outgoing;
mod probe;
mod producer;
mod reader;
mod rebalance;
mod source;
mod transactions;

use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

pub use config::KafkaConfig;
pub use embedded::EmbeddedBroker;
#[cfg(feature = "cli")]
pub(crate) use errors::is_silence;
pub use errors::{ERROR_CODES, ErrorCode};

use self::admin::KafkaAdmin;
use self::config::{InvalidKafkaConfig, Properties};
use self::producer::{KafkaProducer, Waits};
use self::transactions::KafkaTransactions;
use super::{
    Admin, ConsumerDefaults, Offsets, Producer, Source, Subscription, TopicReader,
    TransactionError, Transactions, Transport, TransportError,
};
use crate::clock::BrokerClock;
use crate::error::ErrorClass;
use crate::event::Source as ServiceName;

/// How long the embedded broker lets a fetch wait, whether records come meanwhile or not.
const EMBEDDED_FETCH: Duration = Duration::from_millis(10);

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
    embedded: Option<EmbeddedBroker>,
    /// Its clients are told no broker.
    alone: bool,
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
        Self::new(config, None, false)
    }

    /// A client that opens no connection and reaches nobody: what is built on it can be looked at.
    #[cfg(feature = "cli")]
    pub(crate) fn alone(config: KafkaConfig) -> Result<Self, ConnectError> {
        Self::new(config, None, true)
    }

    /// A client of an embedded broker, which it keeps alive. The broker's address wins over the
    /// configured one, and fetches are short: that broker answers one only when its time is over.
    ///
    /// # Errors
    /// When the configuration cannot be used.
    pub fn embedded(broker: &EmbeddedBroker, config: KafkaConfig) -> Result<Self, ConnectError> {
        let config =
            config.bootstrap_servers(broker.bootstrap_servers()).fetch_max_wait(EMBEDDED_FETCH);
        Self::new(config, Some(broker.clone()), false)
    }

    fn new(
        config: KafkaConfig,
        embedded: Option<EmbeddedBroker>,
        alone: bool,
    ) -> Result<Self, ConnectError> {
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
        let settings = client_config(&config.producer_properties(), alone);
        let waits = Waits::of(&config);
        let producer = KafkaProducer::start(&settings, &waits, clock.clone(), embedded.clone())?;
        let settings = client_config(&config.admin_properties(), alone);
        let admin = KafkaAdmin::new(&settings, embedded.clone(), producer.clone())?.into();
        Ok(Self(Arc::new(Client { config, service, clock, producer, admin, embedded, alone })))
    }

    /// The configuration that it was made with.
    pub fn config(&self) -> &KafkaConfig {
        &self.0.config
    }
}

/// The version of librdkafka that this program runs with.
pub fn client_version() -> String {
    rdkafka::util::get_rdkafka_version().1
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
        let prefetch = self.0.config.consumer().prefetch as usize;
        source::start(&client_config(&properties, self.0.alone), subscription, prefetch)
    }

    fn read(&self, from: Offsets) -> Result<TopicReader, TransportError> {
        // The client wants a group's name though it never joins one, nor commits.
        let nobody = format!("tidings-reader-{}", uuid::Uuid::now_v7().simple());
        let properties = self.0.config.consumer_properties(&nobody);
        reader::start(&client_config(&properties, self.0.alone), from)
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

    fn transactions(&self, id: &str) -> Result<Arc<dyn Transactions>, TransactionError> {
        let Client { config, clock, embedded, alone, .. } = &*self.0;
        let mut settings = client_config(&config.producer_properties(), *alone);
        settings.set("transactional.id", id);
        let waits = Waits::of(config);
        let producer = KafkaProducer::start(&settings, &waits, clock.clone(), embedded.clone())?;
        Ok(Arc::new(KafkaTransactions::new(id, producer)))
    }
}

impl std::fmt::Debug for Kafka {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Kafka").field(&self.0.config).finish()
    }
}

fn client_config(properties: &Properties, alone: bool) -> ClientConfig {
    let mut config = ClientConfig::new();
    // Else it depends on the process's logger whether a client hears what a broker turns it away for.
    config.set_log_level(RDKafkaLogLevel::Info);
    for (name, value) in properties.iter() {
        config.set(name, value);
    }
    if alone {
        config.remove("bootstrap.servers");
    }
    config
}
