//! The event mapper: turns one domain event into 0..n integration events.

mod builder;
mod envelopes;
mod error;
mod events;
mod set;
pub(crate) mod type_map;

use std::any::Any;
use std::fmt;
use std::sync::Arc;

pub use builder::{EventMapperBuilder, Unmapped};
pub use envelopes::Raised;
pub use error::{BuildError, MapError};
pub use events::{Events, IntoEvents};
pub use set::DomainEventSet;

use crate::codec::AnyIntegrationEvent;
use crate::event::DomainEvent;
use type_map::TypeMap;

/// Turns domain events into integration events. Cheap to clone; a look-up takes no lock.
///
/// ```
/// # use tidings::mapper::{EventMapper, Events};
/// # #[derive(Debug)] struct Registered; impl tidings::DomainEvent for Registered {}
/// # #[derive(Debug)] struct PasswordHashed; impl tidings::DomainEvent for PasswordHashed {}
/// let mapper = EventMapper::builder()
///     .map_with(|_: &Registered| Events::none()) // or an event, an `Option`, a `Vec`, an array of them
///     .ignore::<PasswordHashed>()                // said, not forgotten
///     .covers::<(Registered, PasswordHashed)>()  // one of these left out is an error here
///     .build()?;
/// # Ok::<_, tidings::mapper::BuildError>(())
/// ```
#[derive(Clone)]
pub struct EventMapper(Arc<Inner>);

struct Inner {
    rules: TypeMap<Rule>,
    unmapped: Unmapped,
}

/// What becomes of one type of domain event.
enum Rule {
    Map(MapFn),
    Ignore,
}

type MapFn = Box<dyn Fn(&dyn Any, &mut Events) + Send + Sync>;

impl EventMapper {
    /// A mapper that knows nothing yet.
    pub fn builder() -> EventMapperBuilder {
        EventMapperBuilder::default()
    }

    /// The integration events of one domain event, in order; none for an ignored one.
    ///
    /// # Errors
    /// [`MapError::NoMapping`] for a type that was never mentioned, unless the mapper was built with
    /// [`Unmapped::Ignore`].
    pub fn map(
        &self,
        event: &dyn DomainEvent,
    ) -> Result<Vec<Box<dyn AnyIntegrationEvent>>, MapError> {
        let mut events = Events::none();
        self.map_into(event, &mut events)?;
        Ok(events.into())
    }

    /// The same as [`map`](Self::map), appended to `events`.
    ///
    /// # Errors
    /// As for [`map`](Self::map); `events` is left as it was.
    #[inline]
    pub fn map_into(&self, event: &dyn DomainEvent, events: &mut Events) -> Result<(), MapError> {
        let any: &dyn Any = event;
        match self.0.rules.get(&any.type_id()) {
            Some(Rule::Map(map)) => map(any, events),
            Some(Rule::Ignore) => {}
            None if self.0.unmapped == Unmapped::Ignore => {}
            None => {
                return Err(MapError::NoMapping { event: event.name() });
            }
        }
        Ok(())
    }
}

impl fmt::Debug for EventMapper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventMapper")
            .field("types", &self.0.rules.len())
            .field("unmapped", &self.0.unmapped)
            .finish()
    }
}
