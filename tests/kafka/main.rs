//! What is promised, on a real Kafka. Each test is named after what it shows; rows refer to the
//! fault table in `docs/reliability.md`.
//!
//! Addresses come from the environment (`dev/test` sets them): `TIDINGS_TEST_KAFKA` is a broker that
//! all share, `TIDINGS_DEV_KAFKA` the script that starts brokers which a test may kill.
#![allow(unreachable_pub, reason = "the modules of one test binary")]
#![allow(clippy::print_stdout, reason = "measured figures are printed")]

#[path = "../support/mod.rs"]
mod support;

mod attributes;
mod broker;
mod child;
mod commits;
mod declared;
mod events;
mod failure;
mod fenced;
mod hang;
mod inspect;
mod kills;
mod large;
mod members;
mod nodes;
mod outage;
#[path = "../support/panics.rs"]
mod panics;
mod path;
mod producer;
#[cfg(feature = "axum")]
mod readiness;
mod retention;
#[cfg(feature = "kafka-tls")]
mod security;
mod stage;
mod state;
mod stop;
mod tiers;
mod topics;
mod transactions;
mod workers;
