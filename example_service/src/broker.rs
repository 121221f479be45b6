//! The broker: a real one where it is configured, else one in this process.

use std::time::Duration;

use example_contracts::UserCreated;
use tidings::error::{BoxError, ErrorClass};
use tidings::event::IntegrationEvent;
use tidings::transport::kafka::{EmbeddedBroker, Kafka, KafkaConfig};
use tidings::transport::{NewTopic, Transport, TransportError};
use tokio::time::Instant;

use crate::settings::Settings;

/// Partitions of the users' topic: how many processes may share the work of one group.
pub const PARTITIONS: i32 = 6;

/// How long a start waits for a broker that does not answer.
const START: Duration = Duration::from_secs(30);

/// How long one answer of the broker may take.
const ANSWER: Duration = Duration::from_secs(10);

/// The embedded broker answers a fetch when its wait is over, even if an event came before.
const EMBEDDED_FETCH: Duration = Duration::from_millis(10);

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
        let config = KafkaConfig::default().service_name(service);
        Ok(match self {
            Self::Embedded(broker) => {
                let config = config.fetch_max_wait(EMBEDDED_FETCH);
                Kafka::embedded(broker, config.with_vars(settings.kafka.clone())?)?
            }
            Self::Remote => Kafka::connect(config.with_vars(settings.kafka.clone())?)?,
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
    let deadline = Instant::now() + START;
    loop {
        match make_missing(kafka).await {
            Err(error) if error.class == ErrorClass::Retriable && Instant::now() < deadline => {
                tracing::warn!(error = tidings::error::chain(&error), "the broker does not answer yet");
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            result => return result,
        }
    }
}

async fn make_missing(kafka: &Kafka) -> Result<(), TransportError> {
    let (admin, names) = (kafka.admin(), UserCreated::topics());
    let found = admin.describe(&names, ANSWER).await?;
    let missing: Vec<_> = names
        .into_iter()
        .zip(found)
        .filter(|(_, found)| found.is_none())
        .map(|(name, _)| NewTopic {
            name,
            partitions: Some(PARTITIONS),
            replication: None,
            append_time: false,
        })
        .collect();
    if missing.is_empty() { Ok(()) } else { admin.create(&missing, ANSWER).await }
}
