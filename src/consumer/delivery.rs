//! One event on its way into one handler.

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::HandlerError;
use super::assignment::Assignment;
use super::batch::BatchRecord;
use super::classify::Classifiers;
use crate::codec::cloudevents::Incoming;
use crate::event::{Headers, Metadata, simple_type_name};
use crate::inbox::{Held, Tx};
use crate::publisher::Publisher;
use crate::store::{InboxTables, Transactions};
use crate::transport::Received;

/// What a handler gets to see of an event. Cheap to clone.
#[derive(Clone)]
pub struct Delivery {
    pub(super) event: Arc<ReceivedEvent>,
    /// The handler's number.
    pub(super) handler: u32,
    /// Which delivery to the handler it is, from 1.
    pub(super) delivery: u32,
    /// Which call of the handler it is, from 1.
    pub(super) attempt: u32,
    pub(super) shared: Arc<Shared>,
    /// The transaction that the handler runs in, where it asked for one.
    pub(super) held: Option<Arc<Held>>,
    /// Where it stands, where the handler asked to hear of the revoke.
    pub(super) assignment: Option<Arc<Assignment>>,
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
    pub fn decode<V: DeserializeOwned>(&self) -> Result<V, HandlerError> {
        let incoming = &self.event.incoming;
        let Some(format) = incoming.format else {
            return Err(HandlerError::unknown_format());
        };
        let payload = incoming.payload.as_deref().unwrap_or_default();
        format.decode(payload).map_err(HandlerError::undecodable)
    }

    /// An error, of the kind that the consumer was told its type is.
    pub(crate) fn classified(&self, error: HandlerError) -> HandlerError {
        error.classified(&self.shared.classifiers)
    }

    /// Whether its partition is revoked, or its member stops; `false` where the handler did not
    /// [ask](Needs::revoke) to hear of that.
    pub(crate) fn is_revoked(&self) -> bool {
        self.assignment.as_ref().is_some_and(|assignment| assignment.is_revoked())
    }

    /// Waits for that.
    pub(crate) async fn revoked(&self) {
        match &self.assignment {
            Some(assignment) => assignment.revoked().await,
            None => std::future::pending().await,
        }
    }

    /// The consumer group.
    pub fn group(&self) -> &str {
        &self.shared.group
    }

    /// The handler's name, as written to `x-retry-handler`.
    pub fn handler(&self) -> &str {
        &self.shared.names[self.handler as usize]
    }

    /// Which attempt at the event it is: 1 at the handler's first call, and one more after each that
    /// failed, in place or on a tier. Calls that ended in an outage are not counted; the count begins anew
    /// where the event is delivered again because its member ended or lost its partition.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Which delivery to this handler it is: 1 on the main topic, then one more on each tier, whatever was
    /// tried in place.
    pub fn number(&self) -> u32 {
        self.delivery
    }

    /// What was given to the builder as state of this type.
    pub fn state<S: Clone + Send + Sync + 'static>(&self) -> Option<S> {
        self.shared.states.get()
    }

    /// The transaction that the handler runs in: for a type that is a handler and says in
    /// [`needs`](super::IntegrationEventHandler::needs) that it wants it. A function asks for `Tx<S>`.
    /// Once dropped it can be had again.
    ///
    /// # Errors
    /// A permanent failure where the handler did not say so, or has the transaction already.
    pub fn tx<S: Transactions>(&self) -> Result<Tx<S>, HandlerError> {
        self.held.as_ref().and_then(Tx::of).ok_or_else(|| {
            let store = simple_type_name::<S>();
            HandlerError::permanent(format!(
                "no `Tx<{store}>` is here: the handler has it already, or did not say that it \
                 needs it; ask for it as an argument, or write `needs.tx::<{store}>()` in `needs`"
            ))
        })
    }

    /// A publisher; what it publishes carries this event's correlation, and the event as its cause.
    /// It publishes at once, whether the handler's [`Tx`], where it has one, is committed or not.
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
pub struct Needs {
    states: Vec<Named>,
    transactions: Vec<Named>,
    pub(super) revoke: bool,
}

/// A type, and what it is called in messages.
pub(super) type Named = (TypeId, &'static str);

impl Needs {
    /// State of type `S`.
    pub fn state<S: 'static>(&mut self) {
        self.states.push((TypeId::of::<S>(), type_name::<S>()));
    }

    /// A transaction of the store `S`: the handler runs in one.
    pub fn tx<S: InboxTables>(&mut self) {
        self.transactions.push((TypeId::of::<S>(), simple_type_name::<S>()));
    }

    /// To hear of it when the partition is revoked.
    pub(crate) fn revoke(&mut self) {
        self.revoke = true;
    }

    pub(super) fn missing(&self, states: &States) -> Option<&'static str> {
        self.states.iter().find(|(id, _)| !states.0.contains_key(id)).map(|(_, name)| *name)
    }

    /// The stores of which it wants a transaction.
    pub(super) fn transactions(&self) -> &[Named] {
        &self.transactions
    }
}
