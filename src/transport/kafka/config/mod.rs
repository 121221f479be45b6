//! The configuration of the Kafka transport: one typed structure, from code, presets and variables.
//!
//! ```
//! use std::time::Duration;
//! use tidings::transport::kafka::config::{Compression, KafkaConfig};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config = KafkaConfig::new("orders", "localhost:9092")
//!     .throughput()
//!     .linger(Duration::from_millis(5)) // wins over the preset, wherever it stands
//!     .compression(Compression::Zstd)
//!     .with_vars([("KAFKA__CONSUMER__PREFETCH".into(), "500".into())])?; // wins over code
//! config.validate()?;
//! # Ok(())
//! # }
//! ```
//!
//! # What wins
//!
//! A setting is at its default, unless a preset changes it, unless code or a variable sets it. Of code and variables,
//! what comes last wins: [`KafkaConfig::with_env`] at the end lets the environment win,
//! [`KafkaConfig::from_env`] at the start lets code win.
//!
//! # Variables
//!
//! Every setting has one: `producer.linger` is `KAFKA__PRODUCER__LINGER`. The plain spelling `KAFKA_PRODUCER_LINGER`
//! is read too; where both are there they must agree. Durations are `250ms`, `5s`, `1m30s`, or plain milliseconds. An
//! empty variable counts as not there. A name below `KAFKA__` that is no setting's is an error; below `KAFKA_` it is
//! left alone, since other tools' variables begin like that. `KAFKA__PRESET` names a preset.
//!
//! Any other property of librdkafka is passed on by `KAFKA__PROPERTIES__socket_timeout_ms=1000`, to producers,
//! consumers and admin clients alike; those that a setting decides, or that a promise rests on, are refused.

mod choices;
mod effective;
mod error;
mod groups;
mod names;
mod preset;
mod properties;
mod table;
mod text;
mod validate;
mod value;
mod vars;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use secrecy::SecretString;
use uuid::Uuid;

pub use choices::{
    Acks, AssignmentStrategy, AutoOffsetReset, Compression, GroupProtocol, InvalidChoice,
    IsolationLevel, SaslMechanism, SecurityProtocol,
};
pub use effective::{Effective, Origin};
pub use error::{InvalidKafkaConfig, Problem};
pub use groups::connection::ConnectionSettings;
pub use groups::consumer::ConsumerSettings;
pub use groups::failure::FailureSettings;
pub use groups::producer::ProducerSettings;
pub use preset::Preset;
pub use properties::Properties;
pub use text::{BootstrapServers, Pem};

use crate::retry::RetryPolicy;

/// How to talk to Kafka. See the [module](self) for what wins over what.
///
/// [`Default`] names neither a service nor brokers, which [`validate`](Self::validate) reports.
#[derive(Clone)]
pub struct KafkaConfig {
    groups: table::Groups,
    /// Where each setting that is not at its default came from.
    origins: BTreeMap<&'static str, Origin>,
    preset: Option<(Preset, Origin)>,
    /// Properties passed on to librdkafka as they are. Some are secrets, so none is shown unasked.
    passed: BTreeMap<String, (SecretString, Origin)>,
    /// The client id's part after the service: one for all clones, so that brokers see one client.
    client_suffix: Arc<str>,
}

impl KafkaConfig {
    /// The defaults for a service and its brokers (`host:port`, with commas between several).
    pub fn new(service: impl Into<String>, brokers: impl Into<BootstrapServers>) -> Self {
        Self::default().service_name(service).bootstrap_servers(brokers)
    }

    /// Where the brokers are, and how to be let in.
    pub fn connection(&self) -> &ConnectionSettings {
        &self.groups.connection
    }

    /// How events are sent.
    pub fn producer(&self) -> &ProducerSettings {
        &self.groups.producer
    }

    /// How events are read.
    pub fn consumer(&self) -> &ConsumerSettings {
        &self.groups.consumer
    }

    /// What becomes of events whose handlers fail.
    pub fn failure(&self) -> &FailureSettings {
        &self.groups.failure
    }

    /// Sets the retry tiers, the retries in place, their backoff and whether there are dead letters, all at once.
    #[must_use]
    pub fn retry(self, policy: RetryPolicy) -> Self {
        self.retry_tiers(policy.tiers)
            .immediate_retries(policy.immediate)
            .backoff(policy.backoff)
            .dead_letter(policy.dead_letter)
    }

    /// Passes a property on to librdkafka (`socket.timeout.ms`), to producers, consumers and admin clients alike.
    /// Those that a setting decides are refused by [`validate`](Self::validate).
    #[must_use]
    pub fn property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.passed.insert(name.into(), (value.into().into(), Origin::Code));
        self
    }

    /// The client id: the one that was set, or `{service}-{host}-{8 hexadecimal digits}`, the same for all clones.
    pub fn effective_client_id(&self) -> String {
        let connection = &self.groups.connection;
        connection
            .client_id
            .clone()
            .unwrap_or_else(|| format!("{}-{}", connection.service_name, self.client_suffix))
    }

    fn came_from(&mut self, setting: &'static str, origin: Origin) {
        self.origins.insert(setting, origin);
    }

    fn origin(&self, setting: &str) -> Origin {
        self.origins.get(setting).cloned().unwrap_or(Origin::Default)
    }
}

impl Default for KafkaConfig {
    fn default() -> Self {
        Self {
            groups: table::Groups::default(),
            origins: BTreeMap::new(),
            preset: None,
            passed: BTreeMap::new(),
            client_suffix: client_suffix().into(),
        }
    }
}

/// `{host}-{8 hexadecimal digits}`.
fn client_suffix() -> String {
    let host = hostname::get().unwrap_or_default();
    let host: String = host
        .to_string_lossy()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '.' { c } else { '_' })
        .take(64)
        .collect();
    let host = if host.is_empty() { "host" } else { &host };
    // The end of a UUIDv7 is random.
    let (_, chance) = Uuid::now_v7().as_u64_pair();
    format!("{host}-{:08x}", chance as u32)
}

/// The effective settings, with secrets hidden.
impl fmt::Debug for KafkaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.effective().iter().map(|line| (&line.setting, &line.value)))
            .finish()
    }
}
