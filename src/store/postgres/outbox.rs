//! What a service stores its events through.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{AppendError, PostgresStore};
use crate::codec::cloudevents::ContentMode;
use crate::codec::{Format, envelope};
use crate::event::{Envelope, EventId, Flow, IntegrationEvent, Source};
use crate::telemetry;

/// Stores integration events in a transaction of the caller's: they are published if it commits, and
/// only then. Cheap to clone.
///
/// A [`Relay`](crate::outbox::Relay) publishes them, byte for byte as a publisher would have.
#[derive(Clone)]
pub struct PostgresOutbox(Arc<Inner>);

struct Inner {
    store: PostgresStore,
    source: Source,
    format: Format,
    mode: ContentMode,
}

/// What is settable about an outbox; see [`PostgresOutbox::builder`].
#[must_use = "there is no outbox before `build()`"]
pub struct PostgresOutboxBuilder(Inner);

#[cfg(feature = "json")]
impl PostgresOutbox {
    /// An outbox of this service, with JSON payloads and binary content mode.
    pub fn new(store: PostgresStore, source: Source) -> Self {
        Self::builder(store, source, Format::default()).build()
    }
}

impl PostgresOutbox {
    /// An outbox to be configured. `source` is the service that its events come from.
    pub fn builder(store: PostgresStore, source: Source, format: Format) -> PostgresOutboxBuilder {
        PostgresOutboxBuilder(Inner { store, source, format, mode: ContentMode::default() })
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
    pub fn store(&self) -> &PostgresStore {
        &self.0.store
    }

    /// Stores one event; answers its id.
    ///
    /// # Errors
    /// See [`AppendError`]. After an error the transaction cannot be committed any more.
    pub async fn add<E: IntegrationEvent>(
        &self,
        transaction: &mut PgConnection,
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
        transaction: &mut PgConnection,
        event: E,
        publish_at: DateTime<Utc>,
    ) -> Result<EventId, AppendError> {
        self.add_at(transaction, event, Some(publish_at)).await
    }

    async fn add_at<E: IntegrationEvent>(
        &self,
        transaction: &mut PgConnection,
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
        transaction: &mut PgConnection,
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
        transaction: &mut PgConnection,
        envelopes: Vec<Envelope>,
        publish_at: DateTime<Utc>,
    ) -> Result<(), AppendError> {
        self.store_all(transaction, envelopes, Some(publish_at)).await
    }

    async fn store_all(
        &self,
        transaction: &mut PgConnection,
        mut envelopes: Vec<Envelope>,
        publish_at: Option<DateTime<Utc>>,
    ) -> Result<(), AppendError> {
        if let Some(trace) = telemetry::trace_of(&tracing::Span::current()) {
            for envelope in &mut envelopes {
                envelope.metadata.trace = Some(trace.clone());
            }
        }
        let Inner { store, mode, .. } = &*self.0;
        let super::Inner { append, channel, .. } = &*store.0;
        append.append(transaction, channel, &envelopes, *mode, publish_at).await
    }
}

impl PostgresOutboxBuilder {
    /// Payload in the value and attributes in headers (default), or all in one document.
    pub fn content_mode(mut self, mode: ContentMode) -> Self {
        self.0.mode = mode;
        self
    }

    /// The outbox.
    pub fn build(self) -> PostgresOutbox {
        PostgresOutbox(Arc::new(self.0))
    }
}

impl std::fmt::Debug for PostgresOutbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresOutbox")
            .field("source", &self.0.source)
            .field("store", &self.0.store)
            .finish()
    }
}
