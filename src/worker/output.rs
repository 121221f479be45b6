//! What a worker may answer, and what is published because of it.

use bytes::Bytes;
#[cfg(feature = "json")]
use serde::Serialize;

use super::topics::{NoTopic, On};
use crate::codec::{AnyIntegrationEvent, envelope};
#[cfg(feature = "json")]
use crate::consumer::Value;
use crate::consumer::{Delivery, HandlerError};
use crate::error::{ErrorClass, chain};
use crate::event::{Envelope, EventId, Flow, IntegrationEvent, PartitionKey, TopicName};
use crate::producer::{Message, Producer};
use crate::publisher::Publisher;
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

    /// Publishes everything and waits until it is acknowledged; answers the inputs of which something was
    /// not, and why.
    pub(super) async fn send(self) -> Vec<(usize, HandlerError)> {
        let mut failed = Vec::new();
        if !self.envelopes.is_empty() {
            let ids: Vec<_> = self.envelopes.iter().map(|e| e.metadata.id.clone()).collect();
            if let Err(failure) = self.publisher.publish_envelopes(self.envelopes).await {
                let (class, why) = (failure.class(), chain(&failure));
                let is_out =
                    |id: &EventId| failure.unpublished.iter().any(|e| e.metadata.id == *id);
                // None is named where nothing was sent.
                let all = failure.unpublished.is_empty();
                let out = ids.iter().zip(&self.event_inputs).filter(|(id, _)| all || is_out(id));
                let mut first = None;
                for (_, input) in out {
                    // Only of the first it is said what it failed with; the others may have had no chance.
                    let class = match first.get_or_insert(input) == &input {
                        true => class,
                        false => ErrorClass::Retriable,
                    };
                    failed.push((*input, unpublished(class, why.clone())));
                }
            }
        }
        let answers = self.producer.send_each(&self.messages).await;
        for (input, answer) in self.message_inputs.iter().zip(answers) {
            if let Err(error) = answer {
                failed.push((*input, unpublished(error.class(), chain(&error))));
            }
        }
        failed
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

/// What an input fails with of which something was not published. What may succeed later is an outage: the input is
/// kept, and does not go to the dead letters because the broker was away.
fn unpublished(class: ErrorClass, why: String) -> HandlerError {
    match class {
        ErrorClass::Permanent => HandlerError::permanent(why),
        ErrorClass::Retriable | ErrorClass::Fatal => HandlerError::outage(why),
    }
}
