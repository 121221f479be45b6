//! Publishing and consuming on a real Kafka, beside hand-written rdkafka that gives the same promise.
//!
//! `TIDINGS_TEST_KAFKA=host:port cargo bench --bench kafka [-- publish | consume]`. Without an address it is skipped.
//! All arms get the properties of one [`KafkaConfig`], so acks, idempotence, linger, partitioner and fetch settings are
//! the same by construction; `KAFKA__…` changes them for all. `TIDINGS_BENCH_ROUNDS`, `TIDINGS_BENCH_PUBLISH`, `TIDINGS_BENCH_CONSUME` set the
//! rounds (9) and the events of a round (200,000 and 1,000,000); the exit code is 1 below a gate.

mod broker;
mod consume;
mod event;
mod measure;
mod publish;
#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;

use tidings::transport::kafka::KafkaConfig;

fn main() -> ExitCode {
    let Some(brokers) = measure::address("TIDINGS_TEST_KAFKA") else { return ExitCode::SUCCESS };
    // Cargo adds `--bench`.
    let chosen: Vec<_> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let wanted = |name: &str| chosen.is_empty() || chosen.iter().any(|word| name.contains(word));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let config = KafkaConfig::new("bench", brokers).with_env().expect("variables that can be read");
    let mut passed = true;
    if wanted("publish_pipelined") {
        passed &= runtime.block_on(publish::run(&config));
    }
    if wanted("consume_dispatch") {
        passed &= runtime.block_on(consume::run(&config));
    }
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
