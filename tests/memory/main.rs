//! The memory transport: the whole path in virtual time, and what goes wrong on it.
#![allow(unreachable_pub, reason = "modules of one test binary share what they need")]

mod faults;
mod groups;
mod kill;
mod logs;
mod path;
mod producer;
mod stage;
mod topics;
mod transactions;
