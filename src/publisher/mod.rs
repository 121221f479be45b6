//! The publisher: takes integration events to a transport and says when they are safe.

mod envelopes;
mod error;
mod send;

use std::sync::Arc;
use std::time::Duration;

use tracing::Instrument;

pub(crate) use envelopes::of as envelope;
pub use error::{BatchFailure, PublishError};
pub(crate) use send::enqueue;

use crate::codec::Format;
use crate::codec::cloudevents::ContentMode;
use crate::event::{Envelope, EventId, Flow, IntegrationEvent, Source};
use crate::telemetry;
use crate::transport::{Delivered, DeliveryCounts, Producer, Receipt, Transport};

/// Publishes integration events. Cheap to clone; all clones share one bounded queue.
///
/// `publish(event).await` is `Ok` once the broker has acknowledged the event with `acks=all`.
#[derive(Clone)]
pub struct Publisher(Arc<Inner>);

struct Inner {
    producer: Arc<dyn Producer>,
    counts: Arc<DeliveryCounts>,
    source: Source,
    system: &'static str,
    format: Format,
    mode: ContentMode,
    send_wait: Duration,
    delivery_wait: Duration,
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

    /// A publisher to be configured.
    pub fn builder(transport: &dyn Transport, format: Format) -> PublisherBuilder {
        let producer = transport.producer();
        PublisherBuilder(Inner {
            send_wait: producer.send_wait(),
            delivery_wait: producer.delivery_wait(),
            producer,
            counts: Arc::default(),
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

    /// Records acknowledged and given up so far, those included that nobody waits for.
    pub fn counts(&self) -> &DeliveryCounts {
        &self.0.counts
    }

    /// Publishes one event and waits for the broker's acknowledgement of it.
    ///
    /// Dropping the future does not take the event back; its outcome is still counted.
    ///
    /// # Errors
    /// See [`PublishError`]; its class says whether trying again can help.
    pub async fn publish<E: IntegrationEvent>(&self, event: E) -> Result<Published, PublishError> {
        self.publish_envelope(Envelope::new(event, self.0.source.clone())?).await
    }

    /// Publishes an envelope whose metadata the caller has set.
    ///
    /// # Errors
    /// As for [`publish`](Self::publish).
    pub async fn publish_envelope<E: IntegrationEvent>(
        &self,
        envelope: Envelope<E>,
    ) -> Result<Published, PublishError> {
        let mut envelope = envelopes::encode(envelope, self.0.format)?;
        let span = crate::publish_span!(
            self.0.system,
            envelope.topic.as_str(),
            tracing::field::display(&envelope.metadata.id),
            1u64
        );
        self.trace(&mut envelope, &span);
        let id = envelope.metadata.id.clone();
        let delivered = self.send_one(envelope).instrument(span).await?;
        Ok(Published { id, delivered })
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
        let flow = Flow::current();
        let envelopes = events
            .into_iter()
            .map(|event| envelopes::of(&event, self.0.source.clone(), &flow, self.0.format))
            .collect::<Result<Vec<_>, _>>()
            .map_err(BatchFailure::before_sending)?;
        let ids = envelopes.iter().map(|envelope| envelope.metadata.id.clone()).collect();
        self.publish_envelopes(envelopes).await?;
        Ok(ids)
    }

    /// Publishes encoded envelopes as they are, in order, with one shared acknowledgement.
    ///
    /// # Errors
    /// [`BatchFailure`] holds the envelopes that were not acknowledged, in order.
    pub async fn publish_envelopes(
        &self,
        mut envelopes: Vec<Envelope>,
    ) -> Result<(), BatchFailure> {
        let Some(first) = envelopes.first() else { return Ok(()) };
        let span = crate::publish_span!(
            self.0.system,
            first.topic.as_str(),
            tracing::field::display(&first.metadata.id),
            envelopes.len()
        );
        for envelope in &mut envelopes {
            self.trace(envelope, &span);
        }
        self.send_all(envelopes).instrument(span).await
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
        let mut envelope =
            envelopes::of(&event, self.0.source.clone(), &Flow::current(), self.0.format)?;
        self.trace(&mut envelope, &tracing::Span::current());
        let id = envelope.metadata.id.clone();
        let (receipt, mut answer) = Receipt::one(Some(id.clone()), self.0.counts.clone());
        self.enqueue(envelope, receipt).await?;
        match answer.try_recv() {
            Ok(Err(source)) => Err(PublishError::NotAcknowledged { id, source }),
            _ => Ok(id),
        }
    }

    /// Why it is not ready; `None` when the broker answers.
    pub fn problem(&self) -> Option<String> {
        self.0.producer.reachable().err().map(|error| error.to_string())
    }

    /// Takes nothing more, sends what is queued, and after `within` gives up on the rest.
    /// Answers the ids of the events that were not acknowledged.
    pub async fn close(&self, within: Duration) -> Vec<EventId> {
        self.0.producer.close(within).await
    }

    fn trace<E>(&self, envelope: &mut Envelope<E>, span: &tracing::Span) {
        if let Some(trace) = telemetry::trace_of(span) {
            envelope.metadata.trace = Some(trace);
        }
    }
}

impl PublisherBuilder {
    /// Payload in the value and attributes in headers (default), or all in one document.
    #[must_use]
    pub fn content_mode(mut self, mode: ContentMode) -> Self {
        self.0.mode = mode;
        self
    }

    /// How long to wait for room in the queue. Default: the transport's (Kafka: 5 s).
    #[must_use]
    pub fn send_wait(mut self, wait: Duration) -> Self {
        self.0.send_wait = wait;
        self
    }

    /// How long to wait for an acknowledgement. Default: the transport's (Kafka: 30 s, as long as
    /// the client itself tries).
    #[must_use]
    pub fn delivery_wait(mut self, wait: Duration) -> Self {
        self.0.delivery_wait = wait;
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
            .field("counts", &self.0.counts)
            .finish()
    }
}
