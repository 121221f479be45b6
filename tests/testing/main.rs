//! The test kit: what it waits for, what it answers, and what its failures say.

#![allow(unreachable_pub, reason = "modules of one test binary share what they need")]

mod answers;
mod attribute_uses;
mod attributes;
mod database;
mod failures;
mod fixtures;
mod held;
mod scenarios;
mod settling;
mod stage;
