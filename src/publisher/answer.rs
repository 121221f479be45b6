//! What `#[producer]` asks of a function's answer. Its type may have any name, so it is the compiler that tells.

use super::PublishError;
use crate::error::BoxError;
use crate::event::IntegrationEvent;
use crate::topic::{CarriedBy, Topic};

/// An event, or a `Result` of one.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`#[producer]` publishes an integration event, and `{Self}` is none",
    note = "derive it: `#[derive(Serialize, Deserialize, IntegrationEvent)]`",
    note = "or say what keeps plain messages in order, and it is one: `#[producer(topic = .., key = ..)]`, or `key_with`, or `unkeyed`",
    note = "a function may answer `Result` of an event, whose error is `Into<BoxError>`"
)]
pub trait EventAnswer {
    /// The event.
    type Event: IntegrationEvent;
    /// How publishing what is answered fails.
    type Error: From<PublishError>;

    /// The event, unless the function has failed.
    ///
    /// # Errors
    /// The function's own.
    fn event(self) -> Result<Self::Event, Self::Error>;
}

impl<E: IntegrationEvent> EventAnswer for E {
    type Event = E;
    type Error = PublishError;

    fn event(self) -> Result<E, PublishError> {
        Ok(self)
    }
}

impl<E: IntegrationEvent, F: Into<BoxError>> EventAnswer for Result<E, F> {
    type Event = E;
    type Error = BoxError;

    fn event(self) -> Result<E, BoxError> {
        self.map_err(Into::into)
    }
}

/// Compiles where the topic carries the event, and says why not where it does not.
#[doc(hidden)]
pub fn carried<T: Topic, E: CarriedBy<T>>(_: &E) {}
