//! librdkafka's own words in our log, without the flood.
//!
//! While a broker is away each client says so several times a second. The first word of a kind is a
//! warning; the same again within a while goes to `debug`. What a broker turns a client away for is
//! said here only, so it is kept for those who ask why nobody answers.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;

/// How long one kind of message stays quiet after it was said.
const QUIET: Duration = Duration::from_secs(30);
/// Kinds of messages that are remembered at most.
const KINDS: usize = 64;

/// librdkafka's name for lines on connections that failed.
const CONNECTION_FAILED: &str = "FAIL";

pub(super) struct ClientLog {
    client: &'static str,
    said: Mutex<HashMap<String, Instant>>,
    turned_away: TurnedAway,
}

impl ClientLog {
    /// A log for one client, named in each line.
    pub(super) fn new(client: &'static str) -> Self {
        Self { client, said: Mutex::default(), turned_away: TurnedAway::default() }
    }

    /// An error that the client reports and goes on from.
    pub(super) fn error(&self, error: &KafkaError, reason: &str) {
        // Told as an event where somebody asked for it; it is no error.
        if error.rdkafka_error_code() == Some(Code::PartitionEOF) {
            return;
        }
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
        if facility == CONNECTION_FAILED {
            self.turned_away.set(advice(message));
        }
        let grave = matches!(
            level,
            Level::Emerg | Level::Alert | Level::Critical | Level::Error | Level::Warning
        );
        match grave && self.is_new(facility.to_owned()) {
            true => tracing::warn!(client = self.client, facility, message, "librdkafka"),
            false => tracing::debug!(client = self.client, facility, message, "librdkafka"),
        }
    }

    /// What brokers turn the client away for.
    pub(super) fn turned_away(&self) -> &TurnedAway {
        &self.turned_away
    }

    fn is_new(&self, kind: String) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        said.retain(|_, at| now.duration_since(*at) < QUIET);
        said.len() < KINDS
            && said.insert(kind, now).is_none_or(|at| now.duration_since(at) >= QUIET)
    }
}

/// What brokers turn a client away for, as far as it is known and until one answers. The codes of
/// calls only say that nobody does.
#[derive(Default)]
pub(super) struct TurnedAway(Mutex<Option<&'static str>>);

impl TurnedAway {
    pub(super) fn set(&self, why: Option<&'static str>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// Whether one does.
    pub(super) fn is_set(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// A code, with the reason where the code says that nobody answers.
    pub(super) fn explain(&self, code: Code) -> String {
        let nobody = matches!(
            code,
            Code::BrokerTransportFailure
                | Code::AllBrokersDown
                | Code::MessageTimedOut
                | Code::OperationTimedOut
        );
        match *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(why) if nobody => format!("{why}; {code}"),
            _ => code.to_string(),
        }
    }
}

/// What to check, where a line on a failed connection tells.
fn advice(line: &str) -> Option<&'static str> {
    let says = |text| line.contains(text);
    Some(if says("SASL authentication error") || says("mechanism handshake failed") {
        "the broker does not let this client in; check sasl.mechanism, sasl.username and sasl.password"
    } else if says("certificate verify failed") {
        "the broker's certificate is not accepted; check ssl.ca, and that the certificate is for the host in \
         bootstrap_servers"
    } else if says("SSL handshake failed") {
        "the broker and this client find no TLS in common; check security_protocol, ssl.certificate and ssl.key"
    } else if says("Disconnected") && says("in state APIVERSION_QUERY") {
        "the broker hangs up at the first word, as one does that expects another protocol; check security_protocol"
    } else {
        return None;
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_is_turned_away_for_is_said_until_it_fails_otherwise() {
        let log = ClientLog::new("test");
        let fails = |line| log.line(RDKafkaLogLevel::Error, CONNECTION_FAILED, line);
        let why = log.turned_away();
        let explains = |what| why.explain(Code::BrokerTransportFailure).contains(what);
        let line = "sasl_ssl://b:1/1: SASL authentication error: Authentication failed (after 3ms in state AUTH_REQ)";
        fails(line);
        assert!(explains("check sasl.mechanism"));
        assert_eq!(why.explain(Code::UnknownTopic), Code::UnknownTopic.to_string());
        log.line(RDKafkaLogLevel::Error, "ERROR", "1/1 brokers are down");
        assert!(explains("check sasl.mechanism"));
        fails(
            "ssl://b:1/1: SSL handshake failed: error:0A000086: certificate verify failed: broker",
        );
        assert!(explains("check ssl.ca"));
        fails("b:1/1: Disconnected: connection closed (after 1ms in state APIVERSION_QUERY)");
        assert!(explains("check security_protocol"));
        fails("b:1/1: Connect to ipv4#127.0.0.1:1 failed: Connection refused");
        assert!(!explains("check"));
    }

    #[test]
    fn a_kind_of_message_is_said_once_in_a_while() {
        let log = ClientLog::new("test");
        assert!(log.is_new("AllBrokersDown".into()));
        assert!(!log.is_new("AllBrokersDown".into()));
        assert!(log.is_new("Resolve".into()));
    }
}
