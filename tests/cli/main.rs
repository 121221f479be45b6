//! The command line, run as a process: what it prints, and what it exits with.
#![allow(unreachable_pub, reason = "the modules of one test binary")]

#[cfg(feature = "kafka-tls")]
#[allow(dead_code, reason = "shared with the tests on Kafka, which use more of it")]
#[path = "../kafka/broker.rs"]
mod broker;
#[path = "../support/mod.rs"]
mod support;

mod copied;
#[cfg(feature = "kafka-tls")]
mod denied;
mod drain;
mod embedded;
mod groups;
mod input;
mod interrupted;
mod own;
mod records;
mod run;
#[cfg(feature = "kafka-tls")]
mod secured;
mod topics;
mod worker;
