//! Domain events: facts inside one bounded context.

use std::any::Any;
use std::fmt;

/// A fact inside one bounded context. It never leaves the service as it is: an
/// [`EventMapper`](crate::mapper::EventMapper) turns it into integration events.
///
/// A struct per fact or one enum for an aggregate's facts both work; an enum can be mapped by one
/// exhaustive `match`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a domain event",
    note = "derive it: `#[derive(Debug, DomainEvent)]`, or write `impl tidings::DomainEvent for {Self} {{}}`"
)]
pub trait DomainEvent: Any + fmt::Debug + Send + Sync {
    /// The name for messages to people: the type's name without its path.
    fn name(&self) -> &'static str {
        super::simple_type_name::<Self>()
    }
}
