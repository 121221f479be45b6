//! Integration events for services built the DDD way.

pub mod codec;
pub mod error;
pub mod event;
pub mod mapper;
pub mod mediator;

pub use event::{DomainEvent, IntegrationEvent};
pub use mediator::{Command, Query};
#[cfg(feature = "macros")]
pub use tidings_macros::{Command, DomainEvent, IntegrationEvent, Query};
