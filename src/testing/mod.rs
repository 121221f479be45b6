//! What helps to test services and transports; not for production.

pub mod conformance;
pub mod database;
pub mod kit;
pub mod sim;
mod step;

pub use database::MemoryDatabase;
pub use kit::{Expect, Fixture, Scenario, TestKit, hold_time};
