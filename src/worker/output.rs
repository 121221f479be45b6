//! What a worker may answer, and what is published because of it.

use bytes::Bytes;

use super::topics::{NoTopic, On};
use crate::codec::{AnyIntegrationEvent, envelope};
use crate::consumer::{Delivery, HandlerError};
use crate::error::ErrorClass;
use crate::event::{Envelope, EventId, Flow, IntegrationEvent, PartitionKey, TopicName};
use crate::publisher::{BatchFailure, Publisher};
use crate::topic::{CarriedBy, Topic};
use crate::transport::TopicNeed;

/// What a worker may answer where its output goes to `To`: nothing or integration events without an output
/// topic; with one what the topic carries; an `Option` or a `Vec` of it.
#[diagnostic::on_unimplemented(
    message = "a worker cannot answer `{Self}` here",
    note = "without an output topic it answers `()` or an integration event; with `.output::<T>()` what `T` carries; or an `Option` or `Vec` of that"
)]
pub trait Output<To>: Send {
    /// The topics that it may go to, beside the worker's output topic.
    fn topics() -> Vec<TopicNeed> {
        Vec::new()
    }

    /// Adds it to what is published.
    ///
    /// # Errors
    /// A permanent failure where it cannot be encoded, or its key is none.
    fn put(self, outputs: &mut Outputs) -> Result<(), HandlerError>;
}

impl Output<NoTopic> for () {
    fn put(self, _: &mut Outputs) -> Result<(), HandlerError> {
        Ok(())
    }
}

impl<E: IntegrationEvent> Output<NoTopic> for E {
    fn topics() -> Vec<TopicNeed> {
        TopicNeed::of::<E>()
    }

    fn put(self, outputs: &mut Outputs) -> Result<(), HandlerError> {
        outputs.event(&self)
    }
}

impl<T: Topic, E: IntegrationEvent + CarriedBy<T>> Output<On<T>> for E {
    fn put(self, outputs: &mut Outputs) -> Result<(), HandlerError> {
        outputs.event(&self)
    }
}

impl<E: IntegrationEvent> Output<TopicNeed> for E {
    fn put(self, outputs: &mut Outputs) -> Result<(), HandlerError> {
        outputs.event(&self)
    }
}

impl<To, O: Output<To>> Output<To> for Option<O> {
    fn topics() -> Vec<TopicNeed> {
        O::topics()
    }

    fn put(self, outputs: &mut Outputs) -> Result<(), HandlerError> {
        self.map_or(Ok(()), |output| output.put(outputs))
    }
}

impl<To, O: Output<To>> Output<To> for Vec<O> {
    fn topics() -> Vec<TopicNeed> {
        O::topics()
    }

    fn put(self, outputs: &mut Outputs) -> Result<(), HandlerError> {
        self.into_iter().try_for_each(|output| output.put(outputs))
    }
}

/// What is published because of inputs: in their order, with one acknowledgement.
pub struct Outputs {
    publisher: Publisher,
    topic: Option<TopicName>,
    flow: Flow,
    key: Option<Bytes>,
    envelopes: Vec<Envelope>,
    /// Of each envelope: which input it follows from.
    inputs: Vec<usize>,
    input: usize,
}

impl Outputs {
    pub(super) fn new(publisher: Publisher, topic: Option<TopicName>) -> Self {
        Self {
            publisher,
            topic,
            flow: Flow::default(),
            key: None,
            envelopes: Vec::new(),
            inputs: Vec::new(),
            input: 0,
        }
    }

    /// Adds what follows from an input. What could not be added leaves nothing behind.
    pub(super) fn add<To, O: Output<To>>(
        &mut self,
        input: usize,
        output: O,
        delivery: &Delivery,
        flow: Flow,
    ) -> Result<(), HandlerError> {
        (self.input, self.flow) = (input, flow);
        self.key.clone_from(&delivery.record().key);
        let before = self.envelopes.len();
        let put = output.put(self);
        if put.is_err() {
            self.envelopes.truncate(before);
            self.inputs.truncate(before);
        }
        put
    }

    /// Adds an integration event, as a publisher makes it: under its own key, or else its input's.
    fn event(&mut self, event: &dyn AnyIntegrationEvent) -> Result<(), HandlerError> {
        let (source, format) = (self.publisher.source(), self.publisher.format());
        let made = envelope(event, source, format, &self.flow);
        let mut envelope = made.map_err(HandlerError::permanent)?;
        if let Some(topic) = &self.topic {
            envelope.topic = topic.clone();
        }
        if envelope.key.is_none() {
            let key = self.key.as_deref().and_then(|key| std::str::from_utf8(key).ok());
            envelope.key = key.and_then(|key| PartitionKey::new(key).ok());
        }
        self.envelopes.push(envelope);
        self.inputs.push(self.input);
        Ok(())
    }

    /// Publishes everything and waits until it is acknowledged; answers the inputs of which something was
    /// not, and why.
    pub(super) async fn send(self) -> Option<Unpublished> {
        if self.envelopes.is_empty() {
            return None;
        }
        let ids: Vec<_> = self.envelopes.iter().map(|e| e.metadata.id.clone()).collect();
        let failure = self.publisher.publish_envelopes(self.envelopes).await.err()?;
        Some(Unpublished::of(&failure, &ids, &self.inputs))
    }
}

/// What was not published.
pub(super) struct Unpublished {
    /// The inputs that it follows from.
    pub(super) inputs: Vec<usize>,
    class: ErrorClass,
    why: String,
}

impl Unpublished {
    fn of(failure: &BatchFailure, ids: &[EventId], inputs: &[usize]) -> Self {
        let is_out = |id: &EventId| failure.unpublished.iter().any(|e| e.metadata.id == *id);
        let all = failure.unpublished.is_empty();
        let inputs =
            ids.iter().zip(inputs).filter(|(id, _)| all || is_out(id)).map(|(_, input)| *input);
        Self { inputs: inputs.collect(), class: failure.class(), why: crate::error::chain(failure) }
    }

    /// What its inputs fail with. What may succeed later is an outage: the inputs are kept, and none goes to
    /// the dead letters because the broker was away.
    pub(super) fn error(&self) -> HandlerError {
        match self.class {
            ErrorClass::Permanent => HandlerError::permanent(self.why.clone()),
            ErrorClass::Retriable | ErrorClass::Fatal => HandlerError::outage(self.why.clone()),
        }
    }
}
