//! axum: a lifespan for publisher and consumers, and health routes.
//!
//! The mediator and the publisher are ordinary axum state: both are cheap to clone.

mod health;
mod lifespan;

pub use health::Health;
pub use lifespan::{Lifespan, ServeError, Stopped};
