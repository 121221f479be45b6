//! The demo, as it is called: without kills, and with.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::shared::{address, kafka_address, unique};
use crate::stage::OwnDatabase;

/// Runs it, on the broker at this address or on the embedded one, in that database or on SQLite, and
/// answers its line of JSON.
async fn demo(arguments: &[&str], broker: Option<&str>, database: Option<&str>) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_example_service"))
        .args(["demo", "--json"])
        .args(arguments)
        .env_remove("KAFKA_BOOTSTRAP_SERVERS")
        // Empty counts as not there.
        .env("KAFKA__BOOTSTRAP_SERVERS", broker.unwrap_or_default())
        .env("DATABASE_URL", database.unwrap_or_default())
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
    assert_says(&demo(&["--users", "20"], None, None).await, &expected);
}

/// The group `email-service` is the example's own; no other test has it on this broker.
#[tokio::test]
async fn on_a_real_broker_the_services_are_processes_and_each_mail_is_sent_or_a_dead_letter() {
    let Some(broker) = kafka_address() else { return };
    let report = demo(&["--users", "100"], Some(&broker), None).await;
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

const SOUND: [&str; 4] = ["lost", "doubled", "reordered", "unexpected"];

fn assert_survived(report: &Value, users: u32, killed: &[&str]) {
    assert_says(report, &[("sound", json!(true)), ("users", json!(users))]);
    assert_says(report, &SOUND.map(|kind| (kind, json!([]))));
    for name in killed {
        assert!(report["kills"][name].as_u64() >= Some(1), "{name}: {report}");
    }
}

#[tokio::test]
async fn services_that_are_killed_lose_double_and_reorder_nothing() {
    let chaos = ["--chaos", "--rounds", "1", "--users", "20", "--seed", "3"];
    let report = demo(&chaos, None, None).await;
    assert_says(&report, &[("database", json!("SQLite"))]);
    assert_survived(&report, 20, &["user_service", "email_service"]);
}

#[tokio::test]
async fn services_and_a_kafka_that_are_killed_lose_double_and_reorder_nothing_on_postgresql() {
    let (Some(script), Some(database)) = (address("TIDINGS_DEV_KAFKA"), OwnDatabase::make().await)
    else {
        return;
    };
    let kafka = OwnKafka::start(&script).await;
    let mut chaos = vec!["--chaos", "--rounds", "2", "--users", "20", "--seed", "3"];
    chaos.extend(["--kill-broker", &kafka.kill, "--start-broker", &kafka.start]);
    let report = demo(&chaos, Some(&kafka.address), Some(&database.url)).await;
    assert_says(&report, &[("database", json!("PostgreSQL"))]);
    assert_survived(&report, 40, &["user_service", "email_service", "broker"]);
    database.remove().await;
}

/// A broker of the test's own, for it is killed. It ends with this value.
struct OwnKafka {
    dir: String,
    kill: String,
    start: String,
    address: String,
}

impl OwnKafka {
    async fn start(script: &str) -> Self {
        let dir = format!("{}/{}", env!("CARGO_TARGET_TMPDIR"), unique("kafka"));
        let command = |what| format!("'{script}' {what} --dir '{dir}'");
        let (kill, start) = (command("kill"), command("start"));
        let mut kafka = Self { dir, kill, start, address: String::new() };
        let started = Command::new("sh").arg("-c").arg(&kafka.start).output().await.unwrap();
        assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
        kafka.address = String::from_utf8(started.stdout).unwrap().trim().to_owned();
        kafka
    }
}

impl Drop for OwnKafka {
    fn drop(&mut self) {
        // Where this fails dev/test does it once more.
        let _ = std::process::Command::new("sh").arg("-c").arg(&self.kill).output();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
