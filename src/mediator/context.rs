//! One request's context: what it raised, and what behaviours hand on to handlers.

use std::any::{Any, TypeId};
use std::fmt;

use super::Request;
use crate::event::{DomainEvent, Flow, IntegrationEvent};
use crate::mapper::type_map::TypeMap;
use crate::mapper::{Events, IntoEvents, Raised};

/// What belongs to one request while it is handled: the events it raised, in order, its [`Flow`],
/// and values that behaviours leave for handlers.
///
/// Nothing in it is published by itself: a decorator such as [`Publishing`](super::Publishing) does
/// that once the request has succeeded. Where it fails, what it raised is forgotten.
#[derive(Default)]
pub struct Context {
    raised: Vec<Raised>,
    /// Boxed: a request that uses nothing of it pays nothing for it.
    more: Option<Box<More>>,
}

#[derive(Default)]
struct More {
    flow: Option<Flow>,
    values: TypeMap<Box<dyn Any + Send + Sync>>,
    /// A decorator takes what is raised once the outermost request is done.
    collecting: bool,
    /// The request whose response's events were taken last.
    taken: Option<TypeId>,
}

impl Context {
    /// A context for one request; its flow is that of the task.
    pub fn new() -> Self {
        Self::default()
    }

    /// A context whose request belongs to `flow` rather than to that of the task.
    pub fn with_flow(flow: Flow) -> Self {
        let more = More { flow: Some(flow), ..More::default() };
        Self { raised: Vec::new(), more: Some(Box::new(more)) }
    }

    /// Says that a domain event happened.
    pub fn raise(&mut self, event: impl DomainEvent) {
        self.raised.push(Raised::Domain(Box::new(event)));
    }

    /// Says that several happened, in order: an aggregate's own list.
    pub fn raise_all(&mut self, events: impl IntoIterator<Item = Box<dyn DomainEvent>>) {
        self.raised.extend(events.into_iter().map(Raised::Domain));
    }

    /// Adds an integration event past the mapper.
    pub fn publish(&mut self, event: impl IntegrationEvent) {
        self.raised.push(Raised::Integration(Box::new(event)));
    }

    /// Adds 0..n integration events past the mapper.
    pub fn publish_all(&mut self, events: impl IntoEvents) {
        self.raised.extend(Events::one(events).into_iter().map(Raised::Integration));
    }

    /// What was raised so far, in order.
    pub fn raised(&self) -> &[Raised] {
        &self.raised
    }

    /// Takes what was raised so far: for whoever wrote a mediator or a decorator of his own.
    pub fn take_raised(&mut self) -> Vec<Raised> {
        std::mem::take(&mut self.raised)
    }

    /// What the request's events carry on: correlation, causation, tenant and trace.
    pub fn flow(&self) -> Flow {
        let given = self.more.as_ref().and_then(|more| more.flow.clone());
        given.unwrap_or_else(Flow::current)
    }

    /// Leaves a value for the behaviours and the handler further in; answers the one of that type
    /// that was there.
    pub fn insert<T: Send + Sync + 'static>(&mut self, value: T) -> Option<T> {
        let values = &mut self.more().values;
        values.insert(TypeId::of::<T>(), Box::new(value)).and_then(unboxed)
    }

    /// The value of that type, when there is one.
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.more.as_ref()?.values.get(&TypeId::of::<T>())?.downcast_ref()
    }

    /// The value of that type, to be changed.
    pub fn get_mut<T: Send + Sync + 'static>(&mut self) -> Option<&mut T> {
        self.more.as_mut()?.values.get_mut(&TypeId::of::<T>())?.downcast_mut()
    }

    /// Takes the value of that type.
    pub fn remove<T: Send + Sync + 'static>(&mut self) -> Option<T> {
        self.more.as_mut()?.values.remove(&TypeId::of::<T>()).and_then(unboxed)
    }

    fn more(&mut self) -> &mut More {
        self.more.get_or_insert_default()
    }

    pub(super) fn is_collecting(&self) -> bool {
        self.more.as_ref().is_some_and(|more| more.collecting)
    }

    /// Begins the outermost request of a decorator; answers the flow that was given.
    pub(super) fn begin_collecting(&mut self, flow: Flow) -> Option<Flow> {
        let more = self.more();
        more.collecting = true;
        more.flow.replace(flow)
    }

    /// Ends it, however it went: the context is empty, and can be used again.
    pub(super) fn end_collecting(&mut self, given: Option<Flow>) {
        self.raised.clear();
        let more = self.more();
        more.collecting = false;
        more.taken = None;
        more.flow = given;
    }

    /// Takes the events that come with a response, where somebody collects them.
    #[inline]
    pub(super) fn take_from<R: Request>(&mut self, response: &mut R::Response) {
        if self.is_collecting() {
            self.raise_all(R::domain_events(response));
            self.publish_all(R::integration_events(response));
            self.more().taken = Some(TypeId::of::<R>());
        }
    }

    /// Whether the events of an `R`'s response were taken since this was last asked.
    pub(super) fn was_taken<R: Request>(&mut self) -> bool {
        self.more().taken.take() == Some(TypeId::of::<R>())
    }

    /// Forgets what was raised after the first `mark` events: a request failed.
    pub(super) fn forget_from(&mut self, mark: usize) {
        self.raised.truncate(mark);
    }
}

fn unboxed<T: 'static>(value: Box<dyn Any + Send + Sync>) -> Option<T> {
    value.downcast().ok().map(|value| *value)
}

impl fmt::Debug for Context {
    /// Names only: events hold people's data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("raised", &self.raised)
            .field("flow", &self.flow())
            .finish_non_exhaustive()
    }
}
