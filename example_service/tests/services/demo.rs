//! The demo, as it is called.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::shared::kafka_address;

/// Runs it, on the broker at this address or on the embedded one, and answers its line of JSON.
async fn demo(users: &str, broker: Option<&str>) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_example_service"))
        .args(["demo", "--users", users, "--json"])
        .env_remove("KAFKA_BOOTSTRAP_SERVERS")
        // Empty counts as not there.
        .env("KAFKA__BOOTSTRAP_SERVERS", broker.unwrap_or_default())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(said.trim_end().lines().count(), 1);
    serde_json::from_str(&said).unwrap()
}

fn assert_says(report: &Value, expected: &[(&str, Value)]) {
    for (name, expected) in expected {
        assert_eq!(&report[name], expected, "{name}: {report}");
    }
}

/// Few users: those with mailboxes that fail would take their time.
#[tokio::test]
async fn the_demo_says_in_one_line_of_json_that_nothing_is_missing() {
    let expected = [
        ("sound", json!(true)),
        ("broker", json!("embedded")),
        ("users", json!(20)),
        ("events_published", json!(28)),
        ("mails_sent", json!(22)),
        ("dead_lettered", json!(0)),
        ("missing", json!([])),
    ];
    assert_says(&demo("20", None).await, &expected);
}

/// Its topics and the group `email-service` are the example's own; no other test has them on this broker.
#[tokio::test]
async fn on_a_real_broker_the_services_are_processes_and_each_mail_is_sent_or_a_dead_letter() {
    let Some(broker) = kafka_address() else { return };
    let report = demo("100", Some(&broker)).await;
    // User 50 has a broken mailbox and user 100 one that fails for a while; both leave.
    let expected = [
        ("sound", json!(true)),
        ("settled", json!(true)),
        ("broker", json!(broker)),
        ("users", json!(100)),
        ("events_published", json!(100 + 33 + 10)),
        ("mails_sent", json!(100 + 10 - 2)),
        ("dead_lettered", json!(2)),
        ("missing", json!([])),
        ("doubled", json!([])),
        ("out_of_order", json!([])),
        ("unexpected", json!([])),
    ];
    assert_says(&report, &expected);
    // Both mails to the broken mailbox, and the first one at least to the other.
    assert!(report["retried"]["1s"].as_u64() >= Some(3), "{report}");
    for fate in report["failed"].as_array().unwrap() {
        let broken = fate["to"].as_str().unwrap().starts_with("broken-");
        assert_eq!(fate["end"]["dead_letter"].is_object(), broken, "{fate}");
    }
}
