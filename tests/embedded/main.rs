//! The consumer and the publisher on the embedded broker. One binary, so that tests share the broker.
#![cfg(all(feature = "kafka", feature = "json"))]
#![allow(unreachable_pub, reason = "modules of a test binary")]

mod blocked;
mod building;
mod events;
mod failures;
mod handling;
mod hooks;
mod hostile_headers;
mod hostile_payloads;
mod lag;
mod lifecycle;
mod ordering;
mod outages;
mod pauses;
mod poison;
mod producer;
mod publishing;
mod stage;
mod state;
#[path = "../support/mod.rs"]
mod support;
