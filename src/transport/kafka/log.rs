//! librdkafka's own words in our log, without the flood.
//!
//! While a broker is away each client says so several times a second. The first word of a kind is a
//! warning; the same again within a while goes to `debug`.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;

/// How long one kind of message stays quiet after it was said.
const QUIET: Duration = Duration::from_secs(30);
/// Kinds of messages that are remembered at most.
const KINDS: usize = 64;

pub(super) struct ClientLog {
    client: &'static str,
    said: Mutex<HashMap<String, Instant>>,
}

impl ClientLog {
    /// A log for one client, named in each line.
    pub(super) fn new(client: &'static str) -> Self {
        Self { client, said: Mutex::default() }
    }

    /// An error that the client reports and goes on from.
    pub(super) fn error(&self, error: &KafkaError, reason: &str) {
        let kind = error
            .rdkafka_error_code()
            .map_or_else(|| error.to_string(), |code| format!("{code:?}"));
        match self.is_new(kind) {
            true => tracing::warn!(client = self.client, %error, reason, "Kafka client"),
            false => tracing::debug!(client = self.client, %error, reason, "Kafka client"),
        }
    }

    /// A line of librdkafka's log.
    pub(super) fn line(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        use RDKafkaLogLevel as Level;
        let grave = matches!(
            level,
            Level::Emerg | Level::Alert | Level::Critical | Level::Error | Level::Warning
        );
        match grave && self.is_new(facility.to_owned()) {
            true => tracing::warn!(client = self.client, facility, message, "librdkafka"),
            false => tracing::debug!(client = self.client, facility, message, "librdkafka"),
        }
    }

    fn is_new(&self, kind: String) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        said.retain(|_, at| now.duration_since(*at) < QUIET);
        said.len() < KINDS
            && said.insert(kind, now).is_none_or(|at| now.duration_since(at) >= QUIET)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_of_message_is_said_once_in_a_while() {
        let log = ClientLog::new("test");
        assert!(log.is_new("AllBrokersDown".into()));
        assert!(!log.is_new("AllBrokersDown".into()));
        assert!(log.is_new("Resolve".into()));
    }
}
