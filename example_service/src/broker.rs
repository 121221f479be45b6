//! The broker: a real one where it is configured, else one in this process.

use std::time::Duration;

use tidings::error::BoxError;
use tidings::transport::TopicSetup;
use tidings::transport::kafka::{EmbeddedBroker, Kafka, KafkaConfig};

use crate::settings::Settings;

/// Missing topics are made, so that the example starts on an empty broker. Six partitions: so many
/// processes may share the work of one group.
pub const TOPICS: TopicSetup = TopicSetup::Create { partitions: Some(6), replication: None };

/// How long a start waits for a broker that does not answer: it may have to start itself.
pub const START: Duration = Duration::from_secs(120);

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
        if is_configured(settings) {
            Ok(Self::Remote)
        } else {
            Ok(Self::Embedded(EmbeddedBroker::start()?))
        }
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
