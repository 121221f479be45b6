//! Outbox and inbox on a real PostgreSQL. Each test is named after what it shows; rows refer to the fault
//! table in `docs/reliability.md`.
//!
//! `TIDINGS_TEST_POSTGRES` is the URL of a server on which tests may make schemas (`dev/test` sets it).
//! The broker is the memory transport where it does not matter, and a real Kafka where it does.
#![allow(clippy::print_stdout, reason = "measured figures are printed")]
#![allow(unreachable_pub, reason = "the modules of one test binary")]

#[path = "../support/mod.rs"]
mod support;

#[path = "../kafka/inspect.rs"]
#[allow(dead_code, reason = "these tests need a part of it")]
mod inspect;

mod append;
mod child;
mod ended;
mod failover;
mod heard;
mod inbox;
mod inbox_kafka;
mod inbox_kills;
mod inbox_stage;
mod isolation;
mod kills;
mod leases;
mod mediator;
mod order;
mod parked;
mod relay;
mod stage;
