//! The consumer: typed handlers, lanes, retry tiers, dead letters.
//!
//! ```
//! use tidings::consumer::{Consumer, Event, HandlerError, State};
//! # use tidings::event::{IntegrationEvent, TopicName};
//! # #[derive(serde::Serialize, serde::Deserialize)] struct UserCreated { email: String }
//! # impl IntegrationEvent for UserCreated {
//! #     const NAME: &'static str = "user_created";
//! #     fn topics() -> Vec<TopicName> { vec![TopicName::from_static("users")] }
//! #     fn topic(&self) -> TopicName { TopicName::from_static("users") }
//! # }
//! # #[derive(Clone)] struct Mailer;
//!
//! async fn welcome(
//!     Event(user): Event<UserCreated>,
//!     State(mailer): State<Mailer>,
//! ) -> Result<(), HandlerError> {
//! #   let _ = (user.email, mailer);
//!     Ok(())
//! }
//!
//! let builder = Consumer::builder("email-service").handle(welcome).state(Mailer);
//! ```
//!
//! An offset is committed once everything before it is done: handled by all of its handlers, or moved
//! to a retry tier, a dead-letter topic or quarantine that has acknowledged it. So an event is handled
//! at least once, and again after a crash: handlers must bear that, or run in a transaction
//! ([`Tx`]), whose effect an [inbox](crate::inbox) makes happen once. Events of one key are handled one
//! after another; one that moves to a tier gives up its place among them.

mod aside;
mod assignment;
mod batch;
mod builder;
mod classify;
mod delivery;
mod description;
mod forward;
mod handler;
mod health;
mod hooks;
mod lane;
mod ledger;
mod member;
mod mistakes;
mod outage;
mod outcome;
mod owed;
mod partition;
mod pause;
mod plan;
mod read;
mod routing;
mod running;
mod seat;
mod settings;
mod slots;
mod stop;
#[cfg(all(test, feature = "json"))]
mod tests;
mod transact;
mod work;

pub use builder::ConsumerBuilder;
pub use delivery::{Delivery, Needs};
pub use description::{ConsumerDescription, RouteDescription, TopicRoutes};
pub use handler::{
    Attempt, Event, FromDelivery, Function, Handler, HandlerFailure, HandlerFn, HandlerService,
    Input, InputTopics, IntegrationEventHandler, LiesOn, Own, OwnTopics, RawRecord, Reads, State,
    Typed, Value,
};
pub use health::Counts;
pub use mistakes::BuildError;
pub use outcome::{Failing, FailureKind, Handled, HandlerError, IntoOutcome, Outcome};
pub(crate) use owed::{NotYet, Owed};
pub use running::{Consumer, ConsumerStatus, RunningConsumer, StartError};
pub use settings::{Order, Tombstones};
pub use stop::StopReport;
pub(crate) use work::in_time;

pub use crate::inbox::Tx;
pub use crate::transport::TopicSetup;
