//! One request's context: what it raised, and what behaviours hand on to handlers.

use std::any::{Any, TypeId};
use std::fmt;

use super::{Request, SendError};
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
    flow: Option<Flow>,
    values: Option<Box<TypeMap<Box<dyn Any + Send + Sync>>>>,
    /// A decorator takes what is raised once the outermost request is done.
    pub(super) collecting: bool,
    /// The request whose response's events were taken last; see [`settle`](Self::settle).
    pub(super) settled: Option<TypeId>,
}

impl Context {
    /// A context for one request; its flow is that of the task.
    pub fn new() -> Self {
        Self::default()
    }

    /// A context whose request belongs to `flow` rather than to that of the task.
    pub fn with_flow(flow: Flow) -> Self {
        Self { flow: Some(flow), ..Self::default() }
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
        self.flow.clone().unwrap_or_else(Flow::current)
    }

    /// Leaves a value for the behaviours and the handler further in; answers the one of that type
    /// that was there.
    pub fn insert<T: Send + Sync + 'static>(&mut self, value: T) -> Option<T> {
        let values = self.values.get_or_insert_default();
        values.insert(TypeId::of::<T>(), Box::new(value)).and_then(unboxed)
    }

    /// The value of that type, when there is one.
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.values.as_ref()?.get(&TypeId::of::<T>())?.downcast_ref()
    }

    /// The value of that type, to be changed.
    pub fn get_mut<T: Send + Sync + 'static>(&mut self) -> Option<&mut T> {
        self.values.as_mut()?.get_mut(&TypeId::of::<T>())?.downcast_mut()
    }

    /// Takes the value of that type.
    pub fn remove<T: Send + Sync + 'static>(&mut self) -> Option<T> {
        self.values.as_mut()?.remove(&TypeId::of::<T>()).and_then(unboxed)
    }

    pub(super) fn replace_flow(&mut self, flow: Option<Flow>) -> Option<Flow> {
        std::mem::replace(&mut self.flow, flow)
    }

    /// Ends a request that began when `mark` events were there: takes the response's own events where
    /// somebody collects them, or forgets what a failed request raised.
    pub(super) fn settle<R: Request>(
        &mut self,
        mark: usize,
        result: &mut Result<R::Response, SendError<R>>,
    ) {
        match result {
            Ok(response) if self.collecting => {
                self.raise_all(R::domain_events(response));
                self.publish_all(R::integration_events(response));
            }
            Ok(_) => {}
            Err(_) => self.raised.truncate(mark),
        }
        self.settled = Some(TypeId::of::<R>());
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
            .field("flow", &self.flow)
            .finish_non_exhaustive()
    }
}
