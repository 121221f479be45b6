//! What variables do.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::transport::kafka::config::{Acks, SecurityProtocol};

fn vars(vars: &[(&str, &str)]) -> Result<KafkaConfig, InvalidKafkaConfig> {
    KafkaConfig::from_vars(vars.iter().map(|(name, value)| (name.to_string(), value.to_string())))
}

fn refused(given: &[(&str, &str)]) -> String {
    vars(given).unwrap_err().to_string()
}

#[test]
fn a_whole_configuration_is_read_from_variables() {
    let config = vars(&[
        ("KAFKA__BOOTSTRAP_SERVERS", "a:1,b:2"),
        ("KAFKA_SERVICE_NAME", "orders"),
        ("KAFKA__SECURITY_PROTOCOL", "sasl_plaintext"),
        ("KAFKA__SASL__MECHANISM", "plain"),
        ("KAFKA__SASL__USERNAME", " me "),
        ("KAFKA__SASL__PASSWORD", " it has spaces "),
        ("KAFKA_PRODUCER_LINGER", "5"),
        ("KAFKA__CONSUMER__GROUP_ID", "mail"),
        ("KAFKA__FAILURE__RETRY_TIERS", "none"),
        ("KAFKA__FAILURE__BACKOFF", "fixed:1s"),
        ("KAFKA__PRESET", "latency"),
        ("KAFKA__PROPERTIES__socket_timeout_ms", "1000"),
        ("KAFKA__PROPERTIES__LOG_LEVEL", "3"),
        ("PATH", "/bin"),
    ])
    .unwrap();
    assert_eq!(config.validate(), Ok(()));
    assert_eq!(config.connection().bootstrap_servers.to_string(), "a:1,b:2");
    assert_eq!(config.connection().security_protocol, SecurityProtocol::SaslPlaintext);
    assert_eq!(config.connection().sasl_username.as_deref(), Some("me"));
    assert_eq!(config.producer().linger, Duration::from_millis(5));
    assert_eq!(config.producer().send_wait, Duration::from_millis(500));
    assert_eq!(config.consumer().group_id.as_deref(), Some("mail"));
    assert!(config.failure().retry_policy().tiers.is_empty());
    assert_eq!(config.failure().backoff.to_string(), "fixed:1s");
    let properties = config.admin_properties();
    assert_eq!(properties.get("sasl.password"), Some(" it has spaces "));
    assert_eq!(properties.get("socket.timeout.ms"), Some("1000"));
    assert_eq!(properties.get("log_level"), Some("3"));
}

#[test]
fn what_comes_last_wins_between_code_and_variables() {
    let linger = [("KAFKA__PRODUCER__LINGER".to_owned(), "1ms".to_owned())];
    let seven = Duration::from_millis(7);
    let by_code = KafkaConfig::from_vars(linger.clone()).unwrap().linger(seven);
    assert_eq!(by_code.producer().linger, seven);
    let by_variable = KafkaConfig::default().linger(seven).with_vars(linger).unwrap();
    assert_eq!(by_variable.producer().linger, Duration::from_millis(1));
}

#[test]
fn a_preset_by_variable_leaves_what_code_has_set() {
    let preset = [("KAFKA_PRESET".to_owned(), "Throughput".to_owned())];
    let config = KafkaConfig::default().linger(Duration::ZERO).latency().with_vars(preset).unwrap();
    assert_eq!(config.producer().linger, Duration::ZERO);
    assert_eq!(config.consumer().prefetch, 10_000);
    assert_eq!(config.producer().send_wait, Duration::from_secs(5), "the other preset is gone");
}

#[test]
fn an_empty_variable_counts_as_not_there() {
    let config = vars(&[
        ("KAFKA__SASL__USERNAME", ""),
        ("KAFKA__PRODUCER__LINGER", "  "),
        ("KAFKA__TYPO", ""),
    ])
    .unwrap();
    assert_eq!(config.connection().sasl_username, None);
    assert_eq!(config.producer().linger, Duration::ZERO);
}

#[test]
fn two_spellings_must_agree() {
    assert!(vars(&[("KAFKA__PRODUCER__ACKS", "all"), ("KAFKA_PRODUCER_ACKS", "all")]).is_ok());
    let error = refused(&[("KAFKA__PRODUCER__ACKS", "all"), ("KAFKA_PRODUCER_ACKS", "1")]);
    assert!(
        error.contains(r#"KAFKA__PRODUCER__ACKS = "all" and KAFKA_PRODUCER_ACKS = "1" disagree"#),
        "{error}"
    );
    let error =
        refused(&[("KAFKA__SASL__PASSWORD", "hunter2"), ("KAFKA_SASL_PASSWORD", "hunter3")]);
    assert!(
        error.contains("KAFKA__SASL__PASSWORD") && error.contains("KAFKA_SASL_PASSWORD"),
        "{error}"
    );
    assert!(!error.contains("hunter"), "{error}");
    let error = refused(&[("KAFKA__PRESET", "latency"), ("KAFKA_PRESET", "throughput")]);
    assert!(error.contains("KAFKA_PRESET"), "{error}");
    let error =
        refused(&[("KAFKA__PROPERTIES__log_level", "1"), ("KAFKA__PROPERTIES__LOG_LEVEL", "2")]);
    assert!(error.contains("`log_level`"), "{error}");
}

#[test]
fn an_unknown_name_is_an_error_that_knows_the_nearest() {
    let error = refused(&[("KAFKA__SASL__PASWORD", "hunter2")]);
    assert!(
        error.contains("KAFKA__SASL__PASWORD is no setting; the nearest is KAFKA__SASL__PASSWORD"),
        "{error}"
    );
    assert!(!error.contains("hunter2"), "{error}");
    let error = refused(&[("KAFKA__PROPERTIES__", "1")]);
    assert!(error.contains("KAFKA__PROPERTIES__ is no setting"), "{error}");
    assert!(vars(&[("KAFKA_HEAP_OPTS", "-Xmx1g"), ("KAFKA_PORT", "tcp://10.0.0.1:9092")]).is_ok());
}

#[test]
fn a_value_that_cannot_be_read_names_its_variable() {
    for (name, value, reason) in [
        ("KAFKA__PRODUCER__LINGER", "soon", "\"soon\" is not a duration"),
        ("KAFKA_PRODUCER_RETRIES", "-1", "\"-1\" is not a whole number"),
        ("KAFKA__PRODUCER__IDEMPOTENCE", "maybe", "neither `true` nor `false`"),
        ("KAFKA__PRODUCER__COMPRESSION", "brotli", "none of `none`, `gzip`"),
        ("KAFKA__SASL__MECHANISM", "oauthbearer", "this version has none; use SCRAM-SHA-512"),
        ("KAFKA__FAILURE__RETRY_TIERS", "5s,60s", "is written \"1m\""),
        ("KAFKA__FAILURE__BACKOFF", "cubic", "is no backoff"),
        ("KAFKA__FAILURE__UNKNOWN_TYPE", "drop", "none of `ignore`"),
        ("KAFKA__PRESET", "speed", "none of `throughput`"),
    ] {
        let error = refused(&[(name, value)]);
        assert!(error.contains(&format!("{name}: ")) && error.contains(reason), "{error}");
    }
}

#[test]
fn all_that_is_wrong_with_variables_is_said_at_once() {
    let error = vars(&[
        ("KAFKA__TYPO", "x"),
        ("KAFKA__PRODUCER__LINGER", "soon"),
        ("KAFKA__PRODUCER__ACKS", "1"),
        ("KAFKA__PRODUCER__MESSAGE_TIMEOUT", "1m"),
        ("KAFKA__PROPERTIES__enable_auto_commit", "true"),
    ])
    .unwrap_err();
    let texts: Vec<_> = error.problems().iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), 5, "{texts:#?}");
    for part in [
        "KAFKA__TYPO",
        "\"soon\"",
        "idempotence needs",
        "producer.delivery_wait",
        "enable.auto.commit",
    ] {
        assert!(texts.iter().any(|text| text.contains(part)), "{part}: {texts:#?}");
    }
    assert!(!error.to_string().contains("service_name"), "code may still name the service");
}

#[test]
fn acknowledgements_are_read_as_librdkafka_writes_them() {
    assert_eq!(vars(&[("KAFKA__PRODUCER__ACKS", "0")]).unwrap().producer().acks, Acks::None);
}

proptest! {
    #[test]
    fn no_variable_makes_the_reader_panic(
        name in "KAFKA_{1,2}(PRODUCER|CONSUMER|FAILURE|PROPERTIES|SASL|PRESET|é)?_{0,2}(LINGER|BACKOFF|[A-Z]{0,6})",
        value in "\\PC{0,20}",
    ) {
        if let Ok(config) = KafkaConfig::from_vars([(name, value)]) {
            let _ = config.validate();
        }
    }

    #[test]
    fn a_distance_is_one_for_one_change(name in "[A-Z_]{1,20}", at in 0..20_usize) {
        let at = at % name.len();
        let shorter = format!("{}{}", &name[..at], &name[at + 1..]);
        prop_assert_eq!(distance(&name, &shorter), 1);
        prop_assert_eq!(distance(&shorter, &name), 1);
        prop_assert_eq!(distance(&name, &name), 0);
    }
}
