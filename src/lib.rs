//! Integration events for services built the DDD way.

pub mod clock;
pub mod codec;
pub mod consumer;
pub mod error;
pub mod event;
pub mod mapper;
pub mod mediator;
pub mod publisher;
pub mod retry;
pub mod telemetry;
pub mod topic;
pub mod transport;
#[cfg(feature = "axum")]
pub mod web;

pub use event::{DomainEvent, IntegrationEvent};
pub use mediator::{Command, Query};
#[cfg(feature = "macros")]
pub use tidings_macros::{Command, DomainEvent, IntegrationEvent, Query};
