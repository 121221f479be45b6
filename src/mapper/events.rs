//! Integration events of several types, in order.

use std::fmt;

use crate::codec::AnyIntegrationEvent;
use crate::event::IntegrationEvent;

/// Integration events of any types, in order.
///
/// `Events::one(UserCreated { .. }).and(MailingListChanged { .. })`, or `Events::none()`.
#[derive(Default)]
pub struct Events(Vec<Box<dyn AnyIntegrationEvent>>);

impl Events {
    /// No event.
    pub fn none() -> Self {
        Self(Vec::new())
    }

    /// One event, or all that the argument becomes.
    pub fn one(events: impl IntoEvents) -> Self {
        Self::none().and(events)
    }

    /// These, and then those.
    #[must_use]
    pub fn and(mut self, events: impl IntoEvents) -> Self {
        events.into_events(&mut self);
        self
    }

    /// Adds an event after the others.
    #[inline]
    pub fn push(&mut self, event: Box<dyn AnyIntegrationEvent>) {
        if self.0.capacity() == 0 {
            // Most mappings answer one event: room for one, and past the vector's slow growth.
            self.0 = vec![event];
        } else {
            self.0.push(event);
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The events in order.
    pub fn iter(&self) -> impl Iterator<Item = &dyn AnyIntegrationEvent> + '_ {
        self.0.iter().map(|event| &**event)
    }

    pub(super) fn drain(&mut self) -> impl Iterator<Item = Box<dyn AnyIntegrationEvent>> + '_ {
        self.0.drain(..)
    }
}

impl From<Events> for Vec<Box<dyn AnyIntegrationEvent>> {
    fn from(events: Events) -> Self {
        events.0
    }
}

impl From<Vec<Box<dyn AnyIntegrationEvent>>> for Events {
    fn from(events: Vec<Box<dyn AnyIntegrationEvent>>) -> Self {
        Self(events)
    }
}

impl IntoIterator for Events {
    type Item = Box<dyn AnyIntegrationEvent>;
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl fmt::Debug for Events {
    /// Names only: events hold people's data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|event| event.name())).finish()
    }
}

/// What a mapping may answer: 0..n integration events.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a list of integration events",
    label = "a mapping cannot answer this",
    note = "answer an integration event, an `Option`, a `Vec` or an array of them, `()`, or `Events` for several types: `Events::one(a).and(b)`",
    note = "an integration event is derived: `#[derive(Serialize, Deserialize, IntegrationEvent)]`"
)]
pub trait IntoEvents {
    /// Adds the events to `events`, in order.
    fn into_events(self, events: &mut Events);
}

impl<E: IntegrationEvent> IntoEvents for E {
    #[inline]
    fn into_events(self, events: &mut Events) {
        events.push(Box::new(self));
    }
}

impl<E: IntegrationEvent> IntoEvents for Option<E> {
    fn into_events(self, events: &mut Events) {
        events.0.extend(self.map(boxed));
    }
}

impl<E: IntegrationEvent> IntoEvents for Vec<E> {
    fn into_events(self, events: &mut Events) {
        events.0.extend(self.into_iter().map(boxed));
    }
}

impl<E: IntegrationEvent, const N: usize> IntoEvents for [E; N] {
    fn into_events(self, events: &mut Events) {
        events.0.extend(self.into_iter().map(boxed));
    }
}

impl IntoEvents for () {
    fn into_events(self, _: &mut Events) {}
}

impl IntoEvents for Events {
    fn into_events(self, events: &mut Events) {
        events.0.extend(self.0);
    }
}

fn boxed<E: IntegrationEvent>(event: E) -> Box<dyn AnyIntegrationEvent> {
    Box::new(event)
}
