//! Integration events for services built the DDD way.


pub mod codec;
pub mod error;
pub mod event;
pub mod retry;
pub mod topic;
pub mod transport;
