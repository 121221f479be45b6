//! The consumer.
mod delivery;
mod handler;
mod outcome;

pub use delivery::{Delivery, Needs};
pub use handler::*;
pub use outcome::{Failing, FailureKind, Handled, HandlerError, IntoOutcome, Outcome};
