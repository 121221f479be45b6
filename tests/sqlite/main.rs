//! Outbox and inbox on SQLite: the promises of `tests/postgres`, on a file of a test's own.
#![allow(unreachable_pub, reason = "the modules of one test binary")]

#[path = "../support/mod.rs"]
mod support;

mod inbox;
mod inbox_offsets;
mod joining;
mod kit;
mod mediator;
#[cfg(feature = "otel")]
mod metrics;
mod mistakes;
mod outbox;
mod stage;
