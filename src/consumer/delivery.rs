//! One event on its way into one handler.

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::sync::Arc;

use super::HandlerError;
use super::batch::BatchRecord;
use super::classify::Classifiers;
use crate::codec::cloudevents::Incoming;
use crate::event::{Headers, IntegrationEvent, Metadata};
use crate::publisher::Publisher;
use crate::transport::Received;

/// What a handler gets to see of an event. Cheap to clone.
#[derive(Clone)]
pub struct Delivery {
    pub(super) event: Arc<ReceivedEvent>,
    /// The handler's number.
    pub(super) handler: usize,
    pub(super) attempt: u32,
    pub(super) shared: Arc<Shared>,
}

/// A record whose attributes are read.
pub(super) struct ReceivedEvent {
    pub(super) record: BatchRecord,
    pub(super) incoming: Incoming,
}

/// What all deliveries of a consumer share.
///
/// Each shard has a clone of its own: a count of references that several threads change for each event costs
/// more than what it counts.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) group: Arc<str>,
    pub(super) states: Arc<States>,
    pub(super) classifiers: Arc<Classifiers>,
    pub(super) publisher: Publisher,
    /// The handlers' names, by number.
    pub(super) names: Arc<[Arc<str>]>,
}

impl Delivery {
    /// What is said about the event.
    pub fn metadata(&self) -> &Metadata {
        &self.event.incoming.metadata
    }

    /// The record's headers as they came.
    pub fn headers(&self) -> &Headers {
        &self.event.record.headers
    }

    /// The record as it was read.
    pub fn record(&self) -> &Received {
        &self.event.record
    }

    /// The payload, decoded.
    ///
    /// # Errors
    /// An undecodable failure: the record goes to quarantine.
    pub fn decode<E: IntegrationEvent>(&self) -> Result<E, HandlerError> {
        let incoming = &self.event.incoming;
        let Some(format) = incoming.format else {
            return Err(HandlerError::unknown_format());
        };
        let payload = incoming.payload.as_deref().unwrap_or_default();
        format.decode(payload).map_err(HandlerError::undecodable)
    }

    /// The consumer group.
    pub fn group(&self) -> &str {
        &self.shared.group
    }

    /// The handler's name, as written to `x-retry-handler`.
    pub fn handler(&self) -> &str {
        &self.shared.names[self.handler]
    }

    /// Which delivery to this handler it is: 1, then one more for each tier. Immediate retries are
    /// not counted.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// What was given to the builder as state of this type.
    pub fn state<S: Clone + Send + Sync + 'static>(&self) -> Option<S> {
        self.shared.states.get()
    }

    /// A publisher; what it publishes carries this event's correlation, and the event as its cause.
    pub fn publisher(&self) -> &Publisher {
        &self.shared.publisher
    }
}

/// Values by type, as given to the builder.
#[derive(Default)]
pub(super) struct States(HashMap<TypeId, Box<dyn Any + Send + Sync>>);

impl States {
    /// Answers whether there was none of this type yet.
    pub(super) fn insert<S: Clone + Send + Sync + 'static>(&mut self, state: S) -> bool {
        self.0.insert(TypeId::of::<S>(), Box::new(state)).is_none()
    }

    pub(super) fn get<S: Clone + 'static>(&self) -> Option<S> {
        self.0.get(&TypeId::of::<S>()).and_then(|state| state.downcast_ref::<S>()).cloned()
    }
}

/// What a handler needs and the builder has to have.
#[derive(Default)]
pub struct Needs(pub(super) Vec<(TypeId, &'static str)>);

impl Needs {
    /// State of type `S`.
    pub fn state<S: 'static>(&mut self) {
        self.0.push((TypeId::of::<S>(), type_name::<S>()));
    }

    pub(super) fn missing(&self, states: &States) -> Option<&'static str> {
        self.0.iter().find(|(id, _)| !states.0.contains_key(id)).map(|(_, name)| *name)
    }
}
