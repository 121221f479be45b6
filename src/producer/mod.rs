//! The producer: sends plain messages, those that are no integration events, and says when they are safe.
//!
//! [`Producer::send`] waits for one message's acknowledgement, [`Producer::send_all`] for that of all of them in
//! order, and [`Producer::send_and_forget`] for room only. With [`Producer::builder`] a message that fails is tried
//! again in the order of its key, put aside when it is given up, and whoever wants to hear of it does.

mod answer;
mod aside;
mod attempt;
mod breaker;
mod budget;
mod builder;
mod core;
mod counts;
mod delivery;
mod error;
mod key;
mod message;
mod rate;
mod sending;
mod together;
mod tracked;
mod turns;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use tracing::Instrument;

#[doc(hidden)]
pub use answer::{PlainAnswer, ValueAnswer};
pub use attempt::{Attempt, AttemptError, SendService};
pub use breaker::{Breaker, BreakerOpen, BreakerService, BreakerState};
pub use builder::ProducerBuilder;
pub use counts::{Measured, SendCounts, SendOutcome};
pub use delivery::{DeliveryContext, DeliveryHandler, DeliveryStatus};
pub use error::{SendError, UnsentMessages};
pub use key::MessageKey;
pub use message::{InvalidMessage, Message};
pub use rate::{InvalidRateLimit, RateLimit, RateLimited};

use self::aside::Aside;
use self::core::Core;
/// What a message is known by: `message-id` on the wire.
pub use crate::event::EventId as MessageId;
use crate::event::{Profile, TopicKind, TopicName, TopicSpec};
use crate::transport::{Delivered, Transport};

/// Sends plain messages. Cheap to clone; all clones share one bounded memory.
///
/// `send(message).await` is `Ok` once the broker has acknowledged the message with `acks=all`.
#[derive(Clone)]
pub struct Producer(Arc<Core>);

/// A message that the broker has acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The message's id.
    pub id: MessageId,
    /// Where it lies.
    pub delivered: Delivered,
}

impl Producer {
    /// A producer with the transport's waits, no retries beyond the client's own, and nothing set aside.
    pub fn new(transport: &dyn Transport) -> Self {
        Self::builder(transport).build()
    }

    /// A producer to be configured.
    pub fn builder(transport: &dyn Transport) -> ProducerBuilder {
        ProducerBuilder::new(transport)
    }

    /// Messages by what became of them so far, those included that nobody waits for.
    pub fn counts(&self) -> &SendCounts {
        &self.0.counts
    }

    /// Messages that have not come to their end.
    pub fn open(&self) -> usize {
        self.0.open.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// What has become of a message; `None` where it is not known: it was never sent, or was settled so long ago that
    /// others have taken its place ([`ProducerBuilder::track`]).
    pub fn status(&self, id: &MessageId) -> Option<DeliveryStatus> {
        self.0.tracked.status(id)
    }

    /// Sends one message and waits for the broker's acknowledgement of it. What it belongs to and what caused it is
    /// taken from the current [`Flow`](crate::event::Flow).
    ///
    /// Dropping the future does not take the message back once there was room for it; its outcome is counted.
    ///
    /// # Errors
    /// See [`SendError`]; its class says whether trying again can help.
    pub async fn send(&self, message: Message) -> Result<Sent, SendError> {
        let sending = async {
            let told = self.0.take(&message).await?;
            told.outcome().await
        };
        sending.instrument(self.span(&message, 1)).await
    }

    /// Gives a message to the producer and does not wait for its acknowledgement: the outcome is counted in
    /// [`counts`](Self::counts), known by its id, told to handlers, and logged when it is a failure.
    ///
    /// # Errors
    /// When it cannot be sent as it is, there is no room for the send wait, or the producer is closed.
    pub async fn send_and_forget(&self, message: Message) -> Result<MessageId, SendError> {
        let taking = async { self.0.take(&message).await.map(drop) };
        taking.instrument(self.span(&message, 1)).await?;
        Ok(message.id)
    }

    /// Sends messages in order, with one wait for all of them; `Ok` once all are acknowledged.
    ///
    /// # Errors
    /// [`UnsentMessages`] holds each message that was not acknowledged. One that cannot be sent as it is fails all of
    /// them before anything is sent; one that finds no room fails those after it, so that none overtakes it.
    pub async fn send_all(&self, messages: Vec<Message>) -> Result<Vec<Sent>, UnsentMessages> {
        let Some(first) = messages.first() else { return Ok(Vec::new()) };
        let span = self.span(first, messages.len());
        self.send_together(messages).instrument(span).await
    }

    /// The topics of its dead letters and of its errors, with the profiles `dlq` and `error`: for
    /// [`Publisher::prepare_topics`](crate::publisher::Publisher::prepare_topics), which finds out before the first
    /// message is given up whether they are there.
    pub fn topics_beside(&self) -> Vec<TopicSpec> {
        let Aside { dead_letters, errors, .. } = &self.0.aside;
        let all = [(dead_letters, Profile::dlq()), (errors, Profile::error())];
        let spec = |name: &TopicName, profile| {
            TopicSpec::new(name.clone(), TopicKind::Event).profile(profile)
        };
        all.into_iter()
            .filter_map(|(name, profile)| name.as_ref().map(|name| spec(name, profile)))
            .collect()
    }

    /// Why it is not ready; `None` when the broker answers.
    pub fn problem(&self) -> Option<String> {
        self.0.line.producer.reachable().err().map(|error| error.to_string())
    }

    /// Takes nothing more, sends what it has, retries included, and after `within` (and at most a few seconds) gives up
    /// on the rest. Answers the ids of the messages that were not acknowledged, without those that lie among the dead
    /// letters; later calls answer nothing.
    ///
    /// It closes the producer of the transport, and with it every publisher there: what these had not sent is on the
    /// list, too.
    pub async fn close(&self, within: Duration) -> Vec<MessageId> {
        self.0.close(within).await
    }

    fn span(&self, first: &Message, count: usize) -> tracing::Span {
        crate::publish_span!(
            self.0.system,
            first.topic.as_str(),
            tracing::field::display(&first.id),
            count as u64
        )
    }

    /// Finds it as long as somebody holds it.
    #[cfg(feature = "otel")]
    pub(crate) fn weakly(&self) -> impl Fn() -> Option<Self> + Send + Sync + use<> {
        let held = Arc::downgrade(&self.0);
        move || held.upgrade().map(Self)
    }

    /// The kind of broker, as `messaging.system` names it.
    #[cfg(feature = "otel")]
    pub(crate) fn system(&self) -> &'static str {
        self.0.system
    }
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer")
            .field("counts", self.counts())
            .field("open", &self.open())
            .finish_non_exhaustive()
    }
}
