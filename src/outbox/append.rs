//! What a service stores its events through.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::codec::cloudevents::{ContentMode, Malformed};
use crate::codec::{EnvelopeError, Format, envelope};
use crate::error::BoxError;
use crate::event::{Envelope, EventId, Flow, IntegrationEvent, Source};
use crate::mediator::EventStore;
use crate::store::{NewEvent, OutboxTables, Shard, StoreError};
use crate::{publisher, telemetry};

/// Stores integration events in a transaction of the caller's: they are published if it commits, and
/// only then. Cheap to clone.
///
/// A [`Relay`](super::Relay) publishes them, byte for byte as a publisher would have.
pub struct Outbox<S>(Arc<Inner<S>>);

struct Inner<S> {
    store: S,
    source: Source,
    format: Format,
    mode: ContentMode,
}

/// What is settable about an outbox; see [`Outbox::builder`].
#[must_use = "there is no outbox before `build()`"]
pub struct OutboxBuilder<S>(Inner<S>);

/// An event was not stored. The transaction it was to be stored in cannot be committed any more.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// It has no usable key, or its payload cannot be made.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// Payload and content mode do not go together.
    #[error("the event cannot be laid on a record")]
    Wire(#[from] Malformed),
    /// The database refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[cfg(feature = "json")]
impl<S: OutboxTables> Outbox<S> {
    /// An outbox of this service, with JSON payloads and binary content mode.
    pub fn new(store: S, source: Source) -> Self {
        Self::builder(store, source, Format::default()).build()
    }
}

impl<S: OutboxTables> Outbox<S> {
    /// An outbox to be configured. `source` is the service that its events come from.
    pub fn builder(store: S, source: Source, format: Format) -> OutboxBuilder<S> {
        OutboxBuilder(Inner { store, source, format, mode: ContentMode::default() })
    }

    /// The service that its events come from.
    pub fn source(&self) -> &Source {
        &self.0.source
    }

    /// The format of its payloads.
    pub fn format(&self) -> Format {
        self.0.format
    }

    /// The tables that it writes to.
    pub fn store(&self) -> &S {
        &self.0.store
    }

    /// Stores one event; answers its id.
    ///
    /// # Errors
    /// See [`AppendError`]. After an error the transaction cannot be committed any more.
    pub async fn add<E: IntegrationEvent>(
        &self,
        transaction: &mut S::Connection,
        event: E,
    ) -> Result<EventId, AppendError> {
        self.add_at(transaction, event, None).await
    }

    /// Stores one event that is published when its time has come, behind what there is of its key
    /// then.
    ///
    /// # Errors
    /// As for [`add`](Self::add).
    pub async fn add_later<E: IntegrationEvent>(
        &self,
        transaction: &mut S::Connection,
        event: E,
        publish_at: DateTime<Utc>,
    ) -> Result<EventId, AppendError> {
        self.add_at(transaction, event, Some(publish_at)).await
    }

    async fn add_at<E: IntegrationEvent>(
        &self,
        transaction: &mut S::Connection,
        event: E,
        publish_at: Option<DateTime<Utc>>,
    ) -> Result<EventId, AppendError> {
        let envelope = envelope(&event, &self.0.source, self.0.format, &Flow::current())?;
        let id = envelope.metadata.id.clone();
        self.store_all(transaction, vec![envelope], publish_at).await?;
        Ok(id)
    }

    /// Stores envelopes in order, with one statement.
    ///
    /// # Errors
    /// As for [`add`](Self::add).
    pub async fn append(
        &self,
        transaction: &mut S::Connection,
        envelopes: Vec<Envelope>,
    ) -> Result<(), AppendError> {
        self.store_all(transaction, envelopes, None).await
    }

    /// Stores envelopes that are published when their time has come, in order, behind what there is
    /// of their keys then.
    ///
    /// # Errors
    /// As for [`add`](Self::add).
    pub async fn append_later(
        &self,
        transaction: &mut S::Connection,
        envelopes: Vec<Envelope>,
        publish_at: DateTime<Utc>,
    ) -> Result<(), AppendError> {
        self.store_all(transaction, envelopes, Some(publish_at)).await
    }

    async fn store_all(
        &self,
        transaction: &mut S::Connection,
        mut envelopes: Vec<Envelope>,
        publish_at: Option<DateTime<Utc>>,
    ) -> Result<(), AppendError> {
        if let Some(trace) = telemetry::trace_of(&tracing::Span::current()) {
            for envelope in &mut envelopes {
                envelope.metadata.trace = Some(trace.clone());
            }
        }
        let Inner { store, mode, .. } = &*self.0;
        let events = envelopes.iter().map(|envelope| new_event(envelope, *mode));
        let events = events.collect::<Result<_, _>>()?;
        Ok(store.append(transaction, events, publish_at).await?)
    }
}

impl<S: OutboxTables> OutboxBuilder<S> {
    /// Payload in the value and attributes in headers, or all in one document. Default: the former.
    pub fn content_mode(mut self, mode: ContentMode) -> Self {
        self.0.mode = mode;
        self
    }

    /// The outbox.
    pub fn build(self) -> Outbox<S> {
        Outbox(Arc::new(self.0))
    }
}

/// As a publisher lays it on a record.
fn new_event(envelope: &Envelope, mode: ContentMode) -> Result<NewEvent, Malformed> {
    let record = publisher::record(envelope, mode)?;
    let id = envelope.metadata.id.clone();
    let shard = Shard::of(record.topic.as_str(), record.key.as_deref(), &id);
    Ok(NewEvent { id, shard, record, made_at: envelope.metadata.time.timestamp_millis() })
}

impl<S: OutboxTables> EventStore for Outbox<S> {
    type Transaction = S::Transaction;

    fn source(&self) -> &Source {
        self.source()
    }

    fn format(&self) -> Format {
        self.format()
    }

    async fn begin(&self) -> Result<Self::Transaction, BoxError> {
        Ok(self.0.store.open().await?)
    }

    async fn append(
        &self,
        transaction: &mut Self::Transaction,
        events: Vec<Envelope>,
    ) -> Result<(), BoxError> {
        Ok(self.append(transaction, events).await?)
    }

    async fn commit(&self, transaction: Self::Transaction) -> Result<(), BoxError> {
        Ok(self.0.store.commit(transaction).await?)
    }

    async fn rollback(&self, transaction: Self::Transaction) -> Result<(), BoxError> {
        Ok(self.0.store.roll_back(transaction).await?)
    }
}

impl<S> Clone for Outbox<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S: std::fmt::Debug> std::fmt::Debug for Outbox<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbox")
            .field("source", &self.0.source)
            .field("store", &self.0.store)
            .finish()
    }
}
