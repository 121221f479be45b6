//! The publisher: takes integration events to a transport and says when they are safe.
//!
//! [`Publisher::publish`] waits for one event's acknowledgement, [`Publisher::publish_all`] for that of
//! a batch in order, and [`Publisher::publish_and_forget`] for a place in the queue only.

mod answer;
mod envelopes;
mod error;
mod line;
mod outgoing;
mod send;

use std::sync::Arc;
use std::time::Duration;

use tracing::Instrument;

#[doc(hidden)]
pub use answer::{EventAnswer, carried};
pub(crate) use envelopes::record;
pub use error::{BatchFailure, PublishError};
pub(crate) use line::Line;
pub(crate) use send::enqueue;

use self::outgoing::{Alike, Outgoing};
use crate::codec::cloudevents::ContentMode;
use crate::codec::{EnvelopeError, Format, envelope};
use crate::event::{Envelope, EventId, Flow, IntegrationEvent, Source, TopicName};
use crate::mediator::{EventPublisher, PublishFailure};
use crate::telemetry;
use crate::topic::{CarriedBy, Topic};
use crate::transport::{
    Delivered, DeliveryCounts, TopicNeed, TopicSetup, TopicsError, Transport, prepare_topics,
};

/// Publishes integration events. Cheap to clone; all clones share one bounded queue.
///
/// `publish(event).await` is `Ok` once the broker has acknowledged the event with `acks=all`.
#[derive(Clone)]
pub struct Publisher(Arc<Inner>);

struct Inner {
    line: Line,
    source: Source,
    system: &'static str,
    format: Format,
    mode: ContentMode,
}

/// What is settable about a publisher; see [`Publisher::builder`].
pub struct PublisherBuilder(Inner);

/// An event that the broker has acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The event's id.
    pub id: EventId,
    /// Where it lies.
    pub delivered: Delivered,
}

#[cfg(feature = "json")]
impl Publisher {
    /// A publisher with the transport's waits, JSON payloads and binary content mode.
    pub fn new(transport: &dyn Transport) -> Self {
        Self::builder(transport, Format::default()).build()
    }
}

impl Publisher {
    /// A publisher as [`new`](Self::new) makes it; `None` where no format feature is enabled.
    pub(crate) fn of(transport: &dyn Transport) -> Option<Self> {
        #[cfg(feature = "json")]
        return Some(Self::new(transport));
        #[cfg(not(feature = "json"))]
        {
            let _ = transport;
            None
        }
    }

    /// Verifies the topics that this service publishes to, or makes them, before the first event
    /// finds out: names, declared topics, or all of an event's, [`TopicNeed::of`].
    ///
    /// # Errors
    /// When a topic is missing, or the broker refuses or stays away for `within`.
    pub async fn prepare_topics(
        transport: &dyn Transport,
        topics: impl IntoIterator<Item: Into<TopicNeed>>,
        setup: TopicSetup,
        within: Duration,
    ) -> Result<(), TopicsError> {
        let needs: Vec<_> = topics.into_iter().map(Into::into).collect();
        let admin = transport.admin();
        prepare_topics(&*admin, &needs, setup, within).await
    }

    /// A publisher to be configured.
    pub fn builder(transport: &dyn Transport, format: Format) -> PublisherBuilder {
        PublisherBuilder(Inner {
            line: Line::new(transport.producer()),
            source: transport.service().clone(),
            system: transport.system(),
            format,
            mode: ContentMode::default(),
        })
    }

    /// The service that its events come from.
    pub fn source(&self) -> &Source {
        &self.0.source
    }

    /// The format of its payloads.
    pub fn format(&self) -> Format {
        self.0.format
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

    /// Records acknowledged and given up so far, those included that nobody waits for.
    pub fn counts(&self) -> &DeliveryCounts {
        &self.0.line.counts
    }

    /// Publishes one event and waits for the broker's acknowledgement of it.
    ///
    /// Dropping the future does not take the event back; its outcome is still counted.
    ///
    /// # Errors
    /// See [`PublishError`]; its class says whether trying again can help.
    pub async fn publish<E: IntegrationEvent>(&self, event: E) -> Result<Published, PublishError> {
        self.begin(self.wrapped(event)?)?.await
    }

    /// Publishes one event to a topic that carries it, whatever the event's own topic is, and waits for
    /// the broker's acknowledgement. To a topic that does not carry it, it does not compile.
    ///
    /// # Errors
    /// As for [`publish`](Self::publish).
    pub async fn publish_to<T: Topic, E: IntegrationEvent + CarriedBy<T>>(
        &self,
        _topic: T,
        event: E,
    ) -> Result<Published, PublishError> {
        self.publish_to_named(T::NAME, event).await
    }

    /// Publishes one event to a topic whose name is known only at run time, whatever the event's own topic is, and
    /// waits for the broker's acknowledgement.
    ///
    /// # Errors
    /// As for [`publish`](Self::publish).
    pub async fn publish_to_named<E: IntegrationEvent>(
        &self,
        topic: TopicName,
        event: E,
    ) -> Result<Published, PublishError> {
        self.begin(Envelope { topic, ..self.wrapped(event)? })?.await
    }

    /// Publishes an envelope whose metadata the caller has set.
    ///
    /// # Errors
    /// As for [`publish`](Self::publish).
    pub async fn publish_envelope<E: IntegrationEvent>(
        &self,
        envelope: Envelope<E>,
    ) -> Result<Published, PublishError> {
        self.begin(envelope)?.await
    }

    /// Queues an event; what is left to do is to wait.
    fn begin<E: IntegrationEvent>(
        &self,
        envelope: Envelope<E>,
    ) -> Result<impl Future<Output = Result<Published, PublishError>> + use<E>, PublishError> {
        let mut envelope = envelopes::encode(envelope, self.0.format)?;
        let span = crate::publish_span!(
            self.0.system,
            envelope.topic.as_str(),
            tracing::field::display(&envelope.metadata.id),
            1u64
        );
        self.trace(&mut envelope, &span);
        let sending = span.in_scope(|| self.send(&envelope))?;
        let id = envelope.metadata.id;
        let acknowledged = async move {
            match sending.acknowledged().await {
                Ok(delivered) => Ok(Published { id, delivered }),
                Err(source) => Err(PublishError::NotAcknowledged { id, source }),
            }
        };
        Ok(acknowledged.instrument(span))
    }

    /// Publishes events in order with one shared acknowledgement; `Ok` once all are acknowledged.
    ///
    /// Answers their ids, in order.
    ///
    /// # Errors
    /// [`BatchFailure`] names each event that was not acknowledged and holds its envelope. An event
    /// that cannot be encoded fails the whole batch before anything is sent.
    pub async fn publish_all<E: IntegrationEvent>(
        &self,
        events: impl IntoIterator<Item = E>,
    ) -> Result<Vec<EventId>, BatchFailure> {
        let Inner { source, format, .. } = &*self.0;
        let events = Alike::new(events.into_iter(), source, *format, &Flow::current())
            .map_err(|error| BatchFailure::before_sending(error.into()))?;
        let ids = events.ids();
        self.publish_together(events).await?;
        Ok(ids)
    }

    /// Publishes encoded envelopes as they are, in order, with one shared acknowledgement.
    ///
    /// # Errors
    /// [`BatchFailure`] holds the envelopes that were not acknowledged, in order.
    pub async fn publish_envelopes(&self, envelopes: Vec<Envelope>) -> Result<(), BatchFailure> {
        self.publish_together(envelopes).await
    }

    async fn publish_together(&self, mut events: impl Outgoing) -> Result<(), BatchFailure> {
        let count = events.len();
        if count == 0 {
            return Ok(());
        }
        let first = events.at(0);
        let span = crate::publish_span!(
            self.0.system,
            first.topic.as_str(),
            tracing::field::display(&first.metadata.id),
            count
        );
        if let Some(trace) = telemetry::trace_of(&span) {
            events.trace(&trace);
        }
        self.send_all(events).instrument(span).await
    }

    /// Queues one event and does not wait for its acknowledgement; the outcome is counted in
    /// [`counts`](Self::counts), and logged when it is a failure.
    ///
    /// # Errors
    /// When it cannot be encoded, the queue stays full for the send wait, the client refuses it at
    /// once, or the publisher is closed.
    pub async fn publish_and_forget<E: IntegrationEvent>(
        &self,
        event: E,
    ) -> Result<EventId, PublishError> {
        let mut envelope = envelope(&event, &self.0.source, self.0.format, &Flow::current())?;
        self.trace(&mut envelope, &tracing::Span::current());
        let id = envelope.metadata.id.clone();
        let taken = self.send(&envelope)?.taken().await;
        match taken {
            Err(source) => Err(PublishError::NotAcknowledged { id, source }),
            Ok(()) => Ok(id),
        }
    }

    /// Why it is not ready; `None` when the broker answers.
    pub fn problem(&self) -> Option<String> {
        self.0.line.producer.reachable().err().map(|error| error.to_string())
    }

    /// Takes nothing more, sends what is queued, and after `within` gives up on the rest.
    /// Answers the ids of the events that were not acknowledged.
    pub async fn close(&self, within: Duration) -> Vec<EventId> {
        self.0.line.producer.close(within).await
    }

    fn wrapped<E: IntegrationEvent>(&self, event: E) -> Result<Envelope<E>, EnvelopeError> {
        Envelope::new(event, self.0.source.clone())
            .map_err(|source| EnvelopeError::Key { event: E::NAME, source })
    }

    fn trace<E>(&self, envelope: &mut Envelope<E>, span: &tracing::Span) {
        if let Some(trace) = telemetry::trace_of(span) {
            envelope.metadata.trace = Some(trace);
        }
    }
}

impl PublisherBuilder {
    /// Payload in the value and attributes in headers, or all in one document. Default: the former.
    #[must_use]
    pub fn content_mode(mut self, mode: ContentMode) -> Self {
        self.0.mode = mode;
        self
    }

    /// How long to wait for room in the queue. Default: the transport's (Kafka: 5 s).
    #[must_use]
    pub fn send_wait(mut self, wait: Duration) -> Self {
        self.0.line.send_wait = wait;
        self
    }

    /// How long to wait for an acknowledgement. Default: the transport's (Kafka: 30 s, as long as
    /// the client itself tries).
    #[must_use]
    pub fn delivery_wait(mut self, wait: Duration) -> Self {
        self.0.line.delivery_wait = wait;
        self
    }

    /// The publisher.
    pub fn build(self) -> Publisher {
        Publisher(Arc::new(self.0))
    }
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publisher")
            .field("source", &self.0.source)
            .field("counts", self.counts())
            .finish()
    }
}

impl EventPublisher for Publisher {
    fn source(&self) -> &Source {
        self.source()
    }

    fn format(&self) -> Format {
        self.format()
    }

    async fn publish_envelopes(&self, events: Vec<Envelope>) -> Result<(), PublishFailure> {
        let failed = |failure: BatchFailure| PublishFailure {
            unpublished: failure.unpublished,
            error: failure.source.into(),
        };
        self.publish_envelopes(events).await.map_err(failed)
    }
}
