//! axum: a lifespan for publisher and consumers, and health routes.
//!
//! The mediator and the publisher are ordinary axum state: both are cheap to clone.
//!
//! ```no_run
//! use axum::Router;
//! use tidings::consumer::Consumer;
//! use tidings::publisher::Publisher;
//! use tidings::web::{Lifespan, ServeError};
//!
//! # async fn serve(
//! #     publisher: Publisher, consumer: Consumer, listener: tokio::net::TcpListener,
//! # ) -> Result<(), ServeError> {
//! let lifespan = Lifespan::new().publisher(publisher).consumer(consumer);
//! let router = Router::new().merge(lifespan.health_routes());
//! let stopped = lifespan.serve(listener, router).await?; // until SIGINT or SIGTERM
//! assert!(stopped.is_clean());
//! # Ok(())
//! # }
//! ```

mod health;
mod lifespan;

pub use health::Health;
pub use lifespan::{Lifespan, ServeError, Stopped};
