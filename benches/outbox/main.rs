//! The outbox on a real PostgreSQL and a real Kafka, beside scripts that give the same promise.
//!
//! `TIDINGS_TEST_POSTGRES=… TIDINGS_TEST_KAFKA=… cargo bench --features postgres --bench outbox [-- drain | append | idle]`.
//! Without both addresses it is skipped. `TIDINGS_BENCH_ROUNDS`, `TIDINGS_BENCH_OUTBOX` set the rounds (9) and the rows of a round
//! (200,000); the exit code is 1 below a gate.

mod append;
mod drain;
mod idle;
#[path = "../kafka/measure.rs"]
mod measure;
mod stage;
#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(brokers) = measure::address("TIDINGS_TEST_KAFKA") else { return ExitCode::SUCCESS };
    let Some(url) = measure::address("TIDINGS_TEST_POSTGRES") else { return ExitCode::SUCCESS };
    // Cargo adds `--bench`.
    let chosen: Vec<_> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let wanted = |name: &str| chosen.is_empty() || chosen.iter().any(|word| name.contains(word));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let stage = runtime.block_on(stage::Stage::new(&url, &brokers));
    let mut passed = true;
    if wanted("outbox_drain") {
        passed &= runtime.block_on(drain::run(&stage));
    }
    if wanted("outbox_append") {
        passed &= append::run(&stage, &runtime);
    }
    if wanted("outbox_idle") {
        passed &= runtime.block_on(idle::run(&stage));
    }
    runtime.block_on(stage.leave());
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
