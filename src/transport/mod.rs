//! Broker clients behind ports.

#[cfg(feature = "kafka")]
pub mod kafka;
