//! What a worker may answer, and what is published because of it.

use std::collections::BTreeMap;

use bytes::Bytes;
#[cfg(feature = "json")]
use serde::Serialize;

use super::topics::{NoTopic, On};
use crate::codec::{AnyIntegrationEvent, envelope};
#[cfg(feature = "json")]
use crate::consumer::Value;
use crate::consumer::{Delivery, HandlerError, NotYet};
use crate::error::chain;
use crate::event::{Envelope, EventId, Flow, IntegrationEvent, PartitionKey, TopicName};
use crate::producer::{Message, Producer};
use crate::publisher::{BatchFailure, Publisher};
use crate::topic::{CarriedBy, Topic};
use crate::transport::TopicNeed;

/// What a worker may answer where its output goes to `To`: nothing, integration events or messages without an
/// output topic; with one, integration events and values that the topic carries; an `Option` or a `Vec` of them.
#[diagnostic::on_unimplemented(
    message = "a worker whose output goes to `{To}` cannot answer `{Self}`",
    note = "without an output topic it answers `()`, an integration event or a `Message`; with `.output::<T>()` an integration event or a `Value<V>` that `T` carries, as `#[topic(.., carries(..))]` says; or an `Option` or `Vec` of that"
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

#[cfg(feature = "json")]
impl<T: Topic, V: Serialize + CarriedBy<T> + Send> Output<On<T>> for Value<V> {
    fn put(self, outputs: &mut Outputs) -> Result<(), HandlerError> {
        outputs.value(&self.0)
    }
}

#[cfg(feature = "json")]
impl<V: Serialize + Send> Output<TopicNeed> for Value<V> {
    fn put(self, outputs: &mut Outputs) -> Result<(), HandlerError> {
        outputs.value(&self.0)
    }
}

/// It says its topic itself.
impl Output<NoTopic> for Message {
    fn put(self, outputs: &mut Outputs) -> Result<(), HandlerError> {
        outputs.message(self)
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
#[derive(Clone)]
pub struct Outputs {
    publisher: Publisher,
    producer: Producer,
    topic: Option<TopicName>,
    flow: Flow,
    key: Option<Bytes>,
    input: usize,
    /// With the input that each follows from.
    envelopes: Vec<Envelope>,
    event_inputs: Vec<usize>,
    messages: Vec<(Message, Flow)>,
    message_inputs: Vec<usize>,
    /// Inputs of which something can never be published, and why.
    never: BTreeMap<usize, String>,
    /// Why the last that may be published later was not.
    why: String,
}

impl Outputs {
    pub(super) fn new(publisher: Publisher, producer: Producer, topic: Option<TopicName>) -> Self {
        Self {
            publisher,
            producer,
            topic,
            flow: Flow::default(),
            key: None,
            input: 0,
            envelopes: Vec::new(),
            event_inputs: Vec::new(),
            messages: Vec::new(),
            message_inputs: Vec::new(),
            never: BTreeMap::new(),
            why: String::new(),
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
        let (events, messages) = (self.envelopes.len(), self.messages.len());
        let put = output.put(self);
        if put.is_err() {
            self.envelopes.truncate(events);
            self.event_inputs.truncate(events);
            self.messages.truncate(messages);
            self.message_inputs.truncate(messages);
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
            envelope.key = self.key.as_deref().map(event_key).transpose()?.flatten();
        }
        self.envelopes.push(envelope);
        self.event_inputs.push(self.input);
        Ok(())
    }

    /// Adds a plain message, under its own key or else its input's.
    fn message(&mut self, message: Message) -> Result<(), HandlerError> {
        let key = self.key.as_ref().filter(|key| !key.is_empty());
        let message = match (message.key_bytes(), key) {
            (None, Some(key)) => message.key(key),
            _ => message,
        };
        message.check().map_err(HandlerError::permanent)?;
        self.messages.push((message, self.flow.clone()));
        self.message_inputs.push(self.input);
        Ok(())
    }

    /// Adds a value as a plain message.
    #[cfg(feature = "json")]
    fn value<V: Serialize>(&mut self, value: &V) -> Result<(), HandlerError> {
        // Without a topic there is no output of this type.
        let Some(topic) = self.topic.clone() else { return Ok(()) };
        let message = Message::new(topic, value).map_err(HandlerError::permanent)?;
        self.message(message)
    }

    /// Publishes everything and waits until it is acknowledged; answers what is not.
    pub(super) async fn send(mut self) -> Self {
        let (envelopes, inputs) =
            (std::mem::take(&mut self.envelopes), std::mem::take(&mut self.event_inputs));
        if !envelopes.is_empty() {
            let ids: Vec<_> = envelopes.iter().map(|e| e.metadata.id.clone()).collect();
            if let Err(failure) = self.publisher.publish_envelopes(envelopes).await {
                self.failed_events(failure, ids.into_iter().zip(inputs));
            }
        }
        let answers = self.producer.send_each(&self.messages).await;
        let messages = std::mem::take(&mut self.messages).into_iter();
        let inputs = std::mem::take(&mut self.message_inputs);
        for ((message, input), answer) in messages.zip(inputs).zip(answers) {
            let Err(error) = answer else { continue };
            if error.is_of_the_message() {
                self.never.entry(input).or_insert_with(|| chain(&error));
                continue;
            }
            self.why = chain(&error);
            self.messages.push(message);
            self.message_inputs.push(input);
        }
        self.give_up();
        self
    }

    /// Keeps the events of a batch that were not published.
    fn failed_events(
        &mut self,
        failure: BatchFailure,
        sent: impl Iterator<Item = (EventId, usize)>,
    ) {
        self.why = chain(&failure);
        // Only of the first it is said what it failed with; the others may have had no chance.
        let mut never = failure.source.is_of_the_event();
        let mut left = failure.unpublished.into_iter().peekable();
        for (id, input) in sent {
            let Some(envelope) = left.next_if(|envelope| envelope.metadata.id == id) else {
                continue;
            };
            if std::mem::take(&mut never) {
                self.never.insert(input, self.why.clone());
            }
            self.envelopes.push(envelope);
            self.event_inputs.push(input);
        }
    }

    /// Of an input that has failed nothing more is published.
    fn give_up(&mut self) {
        let Self { never, envelopes, event_inputs, messages, message_inputs, .. } = self;
        let mut goes_on = event_inputs.iter().map(|input| !never.contains_key(input));
        envelopes.retain(|_| goes_on.next() == Some(true));
        event_inputs.retain(|input| !never.contains_key(input));
        let mut goes_on = message_inputs.iter().map(|input| !never.contains_key(input));
        messages.retain(|_| goes_on.next() == Some(true));
        message_inputs.retain(|input| !never.contains_key(input));
    }

    /// Whether all of it is acknowledged.
    pub(super) fn is_done(&self) -> bool {
        self.envelopes.is_empty() && self.messages.is_empty() && self.never.is_empty()
    }

    /// What became of all that follows from an input.
    pub(super) fn of(&self, input: usize) -> Result<(), NotYet> {
        if let Some(why) = self.never.get(&input) {
            return Err(NotYet::Never(HandlerError::permanent(why.clone())));
        }
        match self.event_inputs.contains(&input) || self.message_inputs.contains(&input) {
            true => Err(NotYet::Later(self.why.clone())),
            false => Ok(()),
        }
    }
}

/// An input's key as that of an event without a key of its own; `None` where it is empty. Without a key that
/// cannot be an event's the order would be lost.
fn event_key(key: &[u8]) -> Result<Option<PartitionKey>, HandlerError> {
    if key.is_empty() {
        return Ok(None);
    }
    let no_key = |why: String| {
        HandlerError::permanent(format!(
            "the output has no key of its own, and its input's cannot be an event's: {why}; give the output's \
             type a key, or answer a `Message` or a `Value`"
        ))
    };
    let text = std::str::from_utf8(key).map_err(|_| no_key("it is not UTF-8".into()))?;
    PartitionKey::new(text).map(Some).map_err(|error| no_key(error.to_string()))
}
