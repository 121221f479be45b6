//! Events that are published together.
//!
//! They are kept until the broker has answered for all of them, so of many events of one type only what
//! differs is kept for each, in memory that is allocated for many at once.

use std::ops::Range;

use bytes::Bytes;
use chrono::{DateTime, SubsecRound, Utc};

use crate::codec::{EnvelopeError, Format};
use crate::event::{
    Encoded, Envelope, EventId, Flow, IntegrationEvent, Metadata, PartitionKey, Source, Subject,
    TopicName, TraceContext,
};

/// Encoded events, in order.
pub(super) trait Outgoing: Send {
    /// How many there are.
    fn len(&self) -> usize;

    /// The event at `index`.
    fn at(&mut self, index: usize) -> Letter<'_>;

    /// Makes all of them part of a trace.
    fn trace(&mut self, trace: &TraceContext);

    /// The envelopes of the events at these places, which rise.
    fn unpublished(self, places: impl Iterator<Item = usize>) -> Vec<Envelope>;
}

/// One of them, as it is laid on a record.
pub(super) struct Letter<'a> {
    pub(super) metadata: &'a Metadata,
    pub(super) topic: &'a TopicName,
    pub(super) key: Option<Bytes>,
    pub(super) payload: Bytes,
    pub(super) content_type: &'static str,
}

impl<'a> From<&'a Envelope> for Letter<'a> {
    fn from(envelope: &'a Envelope) -> Self {
        Self {
            metadata: &envelope.metadata,
            topic: &envelope.topic,
            key: envelope.key.as_ref().map(|key| Bytes::copy_from_slice(key.as_str().as_bytes())),
            payload: envelope.event.payload.clone(),
            content_type: envelope.event.content_type,
        }
    }
}

impl Outgoing for Vec<Envelope> {
    fn len(&self) -> usize {
        self.len()
    }

    fn at(&mut self, index: usize) -> Letter<'_> {
        (&self[index]).into()
    }

    fn trace(&mut self, trace: &TraceContext) {
        for envelope in self {
            envelope.metadata.trace = Some(trace.clone());
        }
    }

    fn unpublished(self, places: impl Iterator<Item = usize>) -> Vec<Envelope> {
        let mut envelopes: Vec<_> = self.into_iter().map(Some).collect();
        places.filter_map(|place| envelopes[place].take()).collect()
    }
}

/// Events of one type that are made together.
pub(super) struct Alike {
    /// What is said about the event that was looked at last; what they share stays.
    metadata: Metadata,
    /// Whether each event begins a correlation of its own.
    begin: bool,
    content_type: &'static str,
    chunks: Vec<Chunk>,
}

/// Events in a chunk. A chunk's memory stays small enough that freeing it does not make the allocator tidy up.
const CHUNK: usize = 64;
/// What an event is thought to need of its chunk.
const EVENT_BYTES: usize = 384;

/// Events whose keys and payloads share one allocation.
struct Chunk {
    events: Vec<Own>,
    bytes: Bytes,
}

/// What is an event's own. Its key lies before its payload.
struct Own {
    id: EventId,
    time: DateTime<Utc>,
    subject: Option<Subject>,
    topic: TopicName,
    key: Option<Range<usize>>,
    payload: Range<usize>,
}

impl Alike {
    /// Wraps new events as the consequences of `flow`: each with a new id and its time.
    ///
    /// # Errors
    /// When an event has no usable key, or cannot be encoded.
    pub(super) fn new<E: IntegrationEvent>(
        events: impl Iterator<Item = E>,
        source: &Source,
        format: Format,
        flow: &Flow,
    ) -> Result<Self, EnvelopeError> {
        let mut alike = Self {
            metadata: Metadata::named(E::NAME, E::VERSION, source.clone(), flow),
            begin: flow.correlation_id.is_none(),
            content_type: format.content_type(),
            chunks: Vec::new(),
        };
        let mut events = events.peekable();
        while events.peek().is_some() {
            let many = events.size_hint().0.clamp(1, CHUNK);
            let mut bytes = Vec::with_capacity(many * EVENT_BYTES);
            let mut own = Vec::with_capacity(many);
            for event in events.by_ref().take(CHUNK) {
                own.push(Own::new(&event, format, &mut bytes)?);
            }
            alike.chunks.push(Chunk { events: own, bytes: bytes.into() });
        }
        Ok(alike)
    }

    pub(super) fn ids(&self) -> Vec<EventId> {
        let mut ids = Vec::with_capacity(self.len());
        ids.extend(self.chunks.iter().flat_map(|chunk| &chunk.events).map(|own| own.id.clone()));
        ids
    }
}

impl Own {
    fn new<E: IntegrationEvent>(
        event: &E,
        format: Format,
        bytes: &mut Vec<u8>,
    ) -> Result<Self, EnvelopeError> {
        let key = event
            .partition_key()
            .map_err(|source| EnvelopeError::Key { event: E::NAME, source })?;
        let start = bytes.len();
        let key = key.map(|key| {
            bytes.extend_from_slice(key.as_str().as_bytes());
            start..bytes.len()
        });
        let payload = bytes.len();
        format
            .encode(event, bytes)
            .map_err(|source| EnvelopeError::Encode { event: E::NAME, source })?;
        Ok(Self {
            id: EventId::new(),
            time: Utc::now().trunc_subsecs(3),
            subject: event.subject(),
            topic: event.topic(),
            key,
            payload: payload..bytes.len(),
        })
    }
}

impl Outgoing for Alike {
    fn len(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.events.len()).sum()
    }

    fn at(&mut self, index: usize) -> Letter<'_> {
        let chunk = &self.chunks[index / CHUNK];
        let own = &chunk.events[index % CHUNK];
        let metadata = &mut self.metadata;
        metadata.id = own.id.clone();
        metadata.time = own.time;
        metadata.subject = own.subject.clone();
        if self.begin {
            metadata.correlation_id = own.id.clone();
        }
        Letter {
            metadata,
            topic: &own.topic,
            key: own.key.clone().map(|key| chunk.bytes.slice(key)),
            payload: chunk.bytes.slice(own.payload.clone()),
            content_type: self.content_type,
        }
    }

    fn trace(&mut self, trace: &TraceContext) {
        self.metadata.trace = Some(trace.clone());
    }

    fn unpublished(mut self, places: impl Iterator<Item = usize>) -> Vec<Envelope> {
        places.map(|place| self.at(place).envelope()).collect()
    }
}

impl Letter<'_> {
    fn envelope(self) -> Envelope {
        let key = self.key.as_deref().and_then(|key| std::str::from_utf8(key).ok());
        Envelope {
            metadata: self.metadata.clone(),
            topic: self.topic.clone(),
            key: key.and_then(|key| PartitionKey::new(key).ok()),
            event: Encoded { content_type: self.content_type, payload: self.payload },
        }
    }
}
