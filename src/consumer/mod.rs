//! The consumer: typed handlers, lanes, retry tiers, dead letters.

mod assignment;
mod batch;
mod builder;
mod delivery;
mod forward;
mod handler;
mod health;
mod hooks;
mod lane;
mod ledger;
mod member;
mod outcome;
mod partition;
mod pause;
mod plan;
mod provision;
mod read;
mod running;
mod settings;
mod stop;
mod work;

pub use builder::{BuildError, ConsumerBuilder};
pub use delivery::{Delivery, Needs};
pub use handler::{
    Attempt, Event, FromDelivery, Handler, HandlerFailure, HandlerService, IntegrationEventHandler,
    RawRecord, State, Typed,
};
pub use health::Counts;
pub use outcome::{Failing, FailureKind, Handled, HandlerError, IntoOutcome, Outcome};
pub use running::{Consumer, ConsumerStatus, RunningConsumer, StartError};
pub use settings::{Order, Tombstones, TopicSetup};
pub use stop::StopReport;
