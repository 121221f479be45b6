//! The demo, as it is called. Few users: those with mailboxes that fail would take their time.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::Command;

#[tokio::test]
async fn the_demo_says_in_one_line_of_json_that_nothing_is_missing() {
    let output = Command::new(env!("CARGO_BIN_EXE_example_service"))
        .args(["demo", "--users", "20", "--json"])
        .env_remove("KAFKA__BOOTSTRAP_SERVERS")
        .env_remove("KAFKA_BOOTSTRAP_SERVERS")
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    assert_eq!(said.trim_end().lines().count(), 1);
    let report: Value = serde_json::from_str(&said).unwrap();
    for (name, expected) in [
        ("sound", json!(true)),
        ("users", json!(20)),
        ("events_published", json!(28)),
        ("mails_sent", json!(22)),
        ("dead_lettered", json!(0)),
        ("missing", json!([])),
    ] {
        assert_eq!(report[name], expected, "{name}: {said}");
    }
}
