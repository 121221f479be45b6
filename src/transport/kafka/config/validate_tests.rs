//! What is refused, and with which words.

use std::time::Duration;

use super::*;
use crate::retry::{Backoff, RetryPolicy};
use crate::transport::kafka::config::{AssignmentStrategy, Compression, SecurityProtocol};

const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);

fn base() -> KafkaConfig {
    KafkaConfig::new("orders", "localhost:9092")
}

fn sasl(mechanism: SaslMechanism) -> KafkaConfig {
    base().security_protocol(SecurityProtocol::SaslPlaintext).sasl_mechanism(mechanism)
}

fn ssl() -> KafkaConfig {
    base().security_protocol(SecurityProtocol::Ssl)
}

/// Checks that each text is in one of the problems.
fn refused(config: &KafkaConfig, parts: &[&str]) {
    let error = config.validate().unwrap_err().to_string();
    for part in parts {
        assert!(error.contains(part), "{part:?} is not in: {error}");
    }
}

#[test]
fn the_defaults_hold_once_service_and_brokers_are_named() {
    assert_eq!(base().validate(), Ok(()));
    assert_eq!(base().retry(RetryPolicy::none()).compression(Compression::Zstd).validate(), Ok(()));
    assert_eq!(
        sasl(SaslMechanism::Plain).sasl_username("me").sasl_password("x").validate(),
        Ok(())
    );
}

#[test]
fn everything_is_reported_at_once_with_names_values_and_origins() {
    let config = KafkaConfig::default()
        .acks(Acks::Leader)
        .with_vars([("KAFKA_CONSUMER_HEARTBEAT".into(), "20s".into())])
        .unwrap();
    let error = config.validate().unwrap_err();
    assert_eq!(error.problems().len(), 4, "{error}");
    let text = error.to_string();
    for part in [
        "for 4 reasons:\n- no broker is given",
        "bootstrap_servers = (not set) (default of KAFKA__BOOTSTRAP_SERVERS)",
        "the service has no name: service_name = (not set) (default of KAFKA__SERVICE_NAME)",
        "producer.idempotence = true (default of KAFKA__PRODUCER__IDEMPOTENCE), producer.acks = 1 (set in code)",
        "consumer.heartbeat = 20s (from KAFKA_CONSUMER_HEARTBEAT), consumer.session_timeout = 45s",
    ] {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
    let preset = base().latency().message_timeout(9 * S);
    refused(
        &preset,
        &[
            "producer.delivery_wait = 5s (preset latency), producer.message_timeout = 9s (set in code)",
        ],
    );
}

#[test]
fn idempotence_needs_all_acknowledgements_few_requests_and_retries() {
    refused(
        &base().acks(Acks::None),
        &["idempotence needs all acknowledgements", "producer.acks = 0"],
    );
    refused(&base().max_in_flight(6_u32), &["5 requests at a time", "producer.max_in_flight = 6"]);
    refused(&base().retries(0_u32), &["at least one retry", "producer.retries = 0"]);
    let without = base().idempotence(false).acks(Acks::Leader).max_in_flight(6_u32).retries(0_u32);
    assert_eq!(without.validate(), Ok(()));
}

#[test]
fn times_that_contradict_each_other_are_refused() {
    refused(
        &base().delivery_wait(29 * S),
        &["give up", "producer.delivery_wait = 29s", "producer.message_timeout = 30s"],
    );
    refused(
        &base().message_timeout(5 * MS).linger(5 * MS),
        &["waits for its batch", "producer.linger = 5ms"],
    );
    refused(&base().heartbeat(16 * S), &["at least 3 heartbeats", "consumer.heartbeat = 16s"]);
    refused(
        &base().session_timeout(301 * S),
        &["at least the session", "consumer.max_poll_interval = 5m"],
    );
    assert_eq!(
        base().heartbeat(15 * S).session_timeout(45 * S).max_poll_interval(45 * S).validate(),
        Ok(())
    );
}

#[test]
fn values_outside_of_their_range_are_refused() {
    refused(&base().prefetch(0_u32), &["it goes from 1 to 10000000: consumer.prefetch = 0"]);
    refused(&base().linger(901 * S), &["it goes from 0s to 15m: producer.linger = 901s"]);
    refused(
        &base().fetch_max_wait(MS / 2),
        &["whole number of milliseconds: consumer.fetch_max_wait = 500us"],
    );
    refused(&base().message_timeout(Duration::ZERO), &["producer.message_timeout = 0s"]);
}

#[test]
fn brokers_and_names_are_checked() {
    refused(
        &KafkaConfig::new("s", "localhost"),
        &["the port is missing", "bootstrap_servers = localhost"],
    );
    refused(&KafkaConfig::new(" ", "b:1"), &["the service has no name"]);
    assert_eq!(KafkaConfig::new("", "b:1").client_id("me").validate(), Ok(()));
    refused(&base().client_id(""), &["client id must not be empty"]);
    refused(&base().group_id(" "), &["group id must not be empty"]);
    refused(
        &base().static_member_id("a b"),
        &["a member id has", "consumer.static_member_id = a b"],
    );
}

#[test]
fn sasl_needs_its_mechanism_user_and_password() {
    refused(
        &base().security_protocol(SecurityProtocol::SaslPlaintext),
        &["SASL needs a mechanism"],
    );
    refused(
        &sasl(SaslMechanism::Plain),
        &["needs a user name", "needs a password", "sasl.mechanism = PLAIN"],
    );
    refused(&sasl(SaslMechanism::ScramSha512).sasl_username("me"), &["needs a password"]);
    refused(
        &sasl(SaslMechanism::Gssapi).sasl_password("x"),
        &["takes no password", "sasl.mechanism = GSSAPI"],
    );
    let idle = base().sasl_mechanism(SaslMechanism::Plain).sasl_username("me").sasl_password("x");
    let reason = "this protocol uses no SASL: security_protocol = PLAINTEXT";
    refused(
        &idle,
        &[reason, "sasl.mechanism = PLAIN", "sasl.username = me", "sasl.password = (hidden)"],
    );
}

#[test]
fn ssl_needs_files_that_are_there_and_keys_in_pairs() {
    refused(&ssl().ssl_ca("/nowhere/ca.pem"), &["cannot be read", "ssl.ca = /nowhere/ca.pem"]);
    refused(
        &ssl().ssl_certificate("-----BEGIN CERTIFICATE-----"),
        &["go together", "ssl.key = (not set)"],
    );
    refused(
        &ssl().ssl_key("/nowhere/key.pem"),
        &["go together", "ssl.key = /nowhere/key.pem", "cannot be read"],
    );
    refused(&ssl().ssl_key("/"), &["a folder, not a file"]);
    refused(
        &ssl().ssl_key_password("x"),
        &["no key for this password", "ssl.key_password = (hidden)"],
    );
    refused(
        &base().ssl_ca("ca.pem"),
        &["not encrypted", "security_protocol = PLAINTEXT", "ssl.ca = ca.pem"],
    );
    let error = ssl().ssl_ca("/").ssl_certificate("Cargo.toml").ssl_key("Cargo.toml").validate();
    let text = error.map_or_else(|error| error.to_string(), |()| String::new());
    assert!(!text.contains("ssl."), "{text}");
}

#[test]
fn what_the_build_lacks_is_named() {
    let cases = [
        (ssl(), "the feature `kafka-tls`", cfg!(feature = "kafka-tls")),
        (sasl(SaslMechanism::ScramSha256), "the feature `kafka-tls`", cfg!(feature = "kafka-tls")),
        (sasl(SaslMechanism::ScramSha512), "the feature `kafka-tls`", cfg!(feature = "kafka-tls")),
        (sasl(SaslMechanism::Gssapi), "the feature `kafka-gssapi`", cfg!(feature = "kafka-gssapi")),
    ];
    for (config, reason, there) in cases {
        let text = config.validate().map_or_else(|error| error.to_string(), |()| String::new());
        assert_eq!(text.contains(reason), !there, "{text}");
    }
}

#[test]
fn what_the_broker_decides_is_not_set_with_its_protocol() {
    let config = base().group_protocol(GroupProtocol::Consumer);
    assert_eq!(config.validate(), Ok(()));
    let config = config.session_timeout(45 * S).assignment_strategy(AssignmentStrategy::Range);
    refused(
        &config,
        &[
            "the broker decides it",
            "consumer.session_timeout",
            "consumer.assignment_strategy = range",
        ],
    );
}

#[test]
fn what_becomes_of_failures_is_checked() {
    let config = base().retry(RetryPolicy::tiers([60 * S, 5 * S]).backoff(Backoff::fixed(MS)));
    refused(&config, &["1m stands before 5s", "failure.retry_tiers = 1m,5s"]);
    refused(
        &base().dead_letter_suffix(".quarantine"),
        &["lead to the same topic", "failure.quarantine_suffix"],
    );
    refused(
        &base().dead_letter(false),
        &["no dead-letter topic", "failure.unknown_type = dead_letter"],
    );
    assert_eq!(base().dead_letter(false).unknown_type(UnknownType::Fail).validate(), Ok(()));
}

#[test]
fn a_property_that_a_setting_decides_is_refused_with_its_setting() {
    for (property, reason) in [
        ("acks", "the setting producer.acks decides; use KAFKA__PRODUCER__ACKS"),
        ("request.required.acks", "the setting producer.acks decides"),
        ("bootstrap.servers", "use KAFKA__BOOTSTRAP_SERVERS"),
        ("metadata.broker.list", "use KAFKA__BOOTSTRAP_SERVERS"),
        ("group.id", "consumer.group_id"),
        ("enable.idempotence", "producer.idempotence"),
        ("partition.assignment.strategy", "consumer.assignment_strategy"),
        ("enable.auto.commit", "cannot be set: an event is committed once it is handled"),
        ("enable.auto.offset.store", "cannot be set"),
        ("partitioner", "cannot be set"),
        ("", "no name that a property has"),
        ("a b", "no name that a property has"),
    ] {
        refused(
            &base().property(property, "7"),
            &[&format!("the property `{property}` = `7` (set in code)"), reason],
        );
    }
    let fine =
        base().property("socket.timeout.ms", "1000").property("reconnect.backoff.max.ms", "9000");
    assert_eq!(fine.validate(), Ok(()));
    assert_eq!(fine.admin_properties().get("reconnect.backoff.max.ms"), Some("9000"));
}
