//! The producer: sends plain messages, those that are no integration events, and says when they are safe.
//!
//! [`Producer::send`] waits for one message's acknowledgement, [`Producer::send_all`] for that of all of them in
//! order, and [`Producer::send_and_forget`] for a place in the queue only.

mod each;
mod error;
mod key;
mod message;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use tracing::Instrument;

pub use error::{SendError, UnsentMessages};
pub use key::MessageKey;
pub use message::{InvalidMessage, Message};

/// What a message is known by: `message-id` on the wire.
pub use crate::event::EventId as MessageId;
use crate::event::Flow;
use crate::publisher::{Line, Queued};
use crate::telemetry;
use crate::transport::{Delivered, DeliveryCounts, Transport};

/// Sends plain messages. Cheap to clone; all clones share one bounded queue.
///
/// `send(message).await` is `Ok` once the broker has acknowledged the message with `acks=all`.
#[derive(Clone)]
pub struct Producer(Arc<Inner>);

struct Inner {
    line: Line,
    system: &'static str,
}

/// A message that the broker has acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The message's id.
    pub id: MessageId,
    /// Where it lies.
    pub delivered: Delivered,
}

impl Producer {
    /// A producer with the transport's waits.
    pub fn new(transport: &dyn Transport) -> Self {
        let line = Line::new(transport.producer());
        Self(Arc::new(Inner { line, system: transport.system() }))
    }

    /// Messages acknowledged and given up so far, those included that nobody waits for.
    pub fn counts(&self) -> &DeliveryCounts {
        &self.0.line.counts
    }

    /// Sends one message and waits for the broker's acknowledgement of it. What it belongs to and what caused it is
    /// taken from the current [`Flow`].
    ///
    /// Dropping the future does not take the message back; its outcome is still counted.
    ///
    /// # Errors
    /// See [`SendError`]; its class says whether trying again can help.
    pub async fn send(&self, message: Message) -> Result<Sent, SendError> {
        let span = self.span(&message, 1);
        self.send_one(message).instrument(span).await
    }

    /// Queues one message and does not wait for its acknowledgement; the outcome is counted in
    /// [`counts`](Self::counts).
    ///
    /// # Errors
    /// When it cannot be sent as it is, the queue stays full for the send wait, the client refuses it at once, or
    /// the producer is closed.
    pub async fn send_and_forget(&self, message: Message) -> Result<MessageId, SendError> {
        match self.queue(&message).await?.refused() {
            Some(source) => Err(SendError::NotAcknowledged { id: message.id, source }),
            None => Ok(message.id),
        }
    }

    /// Sends messages in order; `Ok` once all are acknowledged.
    ///
    /// # Errors
    /// [`UnsentMessages`] holds each message that was not acknowledged. One that cannot be sent as it is fails all of
    /// them before anything is sent.
    pub async fn send_all(&self, messages: Vec<Message>) -> Result<Vec<Sent>, UnsentMessages> {
        let Some(first) = messages.first() else { return Ok(Vec::new()) };
        let span = self.span(first, messages.len());
        self.send_together(messages).instrument(span).await
    }

    /// Why it is not ready; `None` when the broker answers.
    pub fn problem(&self) -> Option<String> {
        self.0.line.producer.reachable().err().map(|error| error.to_string())
    }

    /// Takes nothing more, sends what is queued, and after `within` gives up on the rest.
    /// Answers the ids of the messages that were not acknowledged.
    pub async fn close(&self, within: Duration) -> Vec<MessageId> {
        self.0.line.producer.close(within).await
    }

    fn span(&self, first: &Message, count: usize) -> tracing::Span {
        crate::publish_span!(
            self.0.system,
            first.topic.as_str(),
            tracing::field::display(&first.id),
            count as u64
        )
    }

    async fn queue(&self, message: &Message) -> Result<Queued, SendError> {
        let id = &message.id;
        message.check().map_err(|source| SendError::Invalid { id: id.clone(), source })?;
        let trace = telemetry::trace_of(&tracing::Span::current());
        let record = wire::record(message, &Flow::current(), trace.as_ref());
        let queued = self.0.line.queue(&record, id.clone()).await;
        queued.map_err(|source| SendError::NotAcknowledged { id: id.clone(), source })
    }

    async fn send_one(&self, message: Message) -> Result<Sent, SendError> {
        let queued = self.queue(&message).await?;
        self.answer(&message, queued).await
    }

    async fn answer(&self, message: &Message, queued: Queued) -> Result<Sent, SendError> {
        let id = message.id.clone();
        match self.0.line.answer(queued).await {
            Ok(delivered) => Ok(Sent { id, delivered }),
            Err(source) => Err(SendError::NotAcknowledged { id, source }),
        }
    }

    async fn send_together(&self, messages: Vec<Message>) -> Result<Vec<Sent>, UnsentMessages> {
        for message in &messages {
            if let Err(source) = message.check() {
                let source = SendError::Invalid { id: message.id.clone(), source };
                return Err(UnsentMessages { unsent: messages, source });
            }
        }
        let mut queued = Vec::with_capacity(messages.len());
        let mut full = None;
        for message in &messages {
            match self.queue(message).await {
                Ok(way) => queued.push(way),
                // What comes after a message that was not taken must not overtake it.
                Err(error) => {
                    full = Some(error);
                    break;
                }
            }
        }
        let taken = queued.len();
        let answers = messages.iter().zip(queued).map(|(message, way)| self.answer(message, way));
        let answers = futures::future::join_all(answers).await;
        let mut unsent: Vec<_> = (taken..messages.len()).collect();
        let (mut sent, mut failed, mut why) = (Vec::with_capacity(taken), Vec::new(), None);
        for (at, answer) in answers.into_iter().enumerate() {
            match answer {
                Ok(one) => sent.push(one),
                Err(error) => {
                    failed.push(at);
                    why.get_or_insert(error);
                }
            }
        }
        let Some(source) = why.or(full) else { return Ok(sent) };
        failed.append(&mut unsent);
        let mut left: Vec<_> = messages.into_iter().map(Some).collect();
        let unsent = failed.into_iter().filter_map(|at| left[at].take()).collect();
        Err(UnsentMessages { unsent, source })
    }
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").field("counts", self.counts()).finish()
    }
}
