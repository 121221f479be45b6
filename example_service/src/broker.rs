//! The broker: a real one where it is configured, else one in this process.

use std::time::Duration;

use example_contracts::UserCreated;
use tidings::error::BoxError;
use tidings::event::IntegrationEvent;
use tidings::transport::kafka::{EmbeddedBroker, Kafka, KafkaConfig};
use tidings::transport::{NewTopic, Transport, TransportError};

use crate::settings::Settings;

/// Partitions of the users' topic: how many processes may share the work of one group.
pub const PARTITIONS: i32 = 6;

/// How long a start waits for a broker that does not answer.
const START: Duration = Duration::from_secs(30);

/// Where events go.
#[derive(Debug, Clone)]
pub enum Broker {
    /// In this process, for trying out.
    Embedded(EmbeddedBroker),
    /// At `KAFKA__BOOTSTRAP_SERVERS`.
    Remote,
}

impl Broker {
    /// The configured broker, or an embedded one that is started.
    ///
    /// # Errors
    /// When the configuration cannot be read, or the embedded broker does not start.
    pub fn of(settings: &Settings) -> Result<Self, BoxError> {
        if is_configured(settings) { Ok(Self::Remote) } else { Ok(Self::Embedded(EmbeddedBroker::start()?)) }
    }

    /// A client of it for a service.
    ///
    /// # Errors
    /// When the configuration cannot be used.
    pub fn client(&self, service: &str, settings: &Settings) -> Result<Kafka, BoxError> {
        let config = KafkaConfig::default().with_vars(settings.kafka.clone())?.service_name(service);
        Ok(match self {
            Self::Embedded(broker) => Kafka::embedded(broker, config)?,
            Self::Remote => Kafka::connect(config)?,
        })
    }
}

/// Whether there is a broker of somebody else's.
pub fn is_configured(settings: &Settings) -> bool {
    ["KAFKA__BOOTSTRAP_SERVERS", "KAFKA_BOOTSTRAP_SERVERS"]
        .iter()
        .any(|name| settings.kafka.get(*name).is_some_and(|value| !value.trim().is_empty()))
}

/// Makes the topics of the user service's contracts where they are missing: who publishes must not
/// depend on a reader having been there first.
///
/// # Errors
/// When the broker refuses, or does not answer for half a minute.
pub async fn ensure_topics(kafka: &Kafka) -> Result<(), TransportError> {
    let topics: Vec<_> = UserCreated::topics()
        .into_iter()
        .map(|name| NewTopic {
            name,
            partitions: Some(PARTITIONS),
            replication: None,
            append_time: false,
        })
        .collect();
    let deadline = tokio::time::Instant::now() + START;
    loop {
        match kafka.admin().create(&topics, Duration::from_secs(10)).await {
            Err(error)
                if error.class == tidings::error::ErrorClass::Retriable
                    && tokio::time::Instant::now() < deadline =>
            {
                tracing::warn!(error = tidings::error::chain(&error), "the broker does not answer yet");
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            result => return result,
        }
    }
}
