//! The memory transport: the whole path in virtual time, and what goes wrong on it.
#![allow(unreachable_pub, reason = "modules of one test binary share what they need")]

mod answers;
mod deliveries;
mod delivery_layers;
mod faults;
mod groups;
mod kill;
mod logs;
mod members;
#[path = "../support/panics.rs"]
mod panics;
mod path;
mod producer;
mod stage;
mod state;
#[path = "../support/state.rs"]
mod support;
mod topics;
mod transactions;
