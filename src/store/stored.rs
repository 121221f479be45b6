//! From the columns of an outbox's row back to the record that was stored.

use bytes::{Bytes, BytesMut};

use super::{OutboxRow, RowId, Shard};
use crate::clock::Millis;
use crate::event::{EventId, Headers, TopicName};
use crate::transport::Record;

/// Rows that are read together: what they hold lies in chunks that many share.
#[derive(Default)]
pub(super) struct StoredRows {
    /// Rows of one topic mostly follow each other: its name is checked and kept once.
    topic: Option<TopicName>,
    chunk: BytesMut,
}

/// A row's columns.
pub(super) struct Stored<'a> {
    pub(super) row: RowId,
    pub(super) shard: Shard,
    pub(super) id: &'a str,
    pub(super) topic: &'a str,
    pub(super) key: Option<&'a [u8]>,
    pub(super) headers: &'a [u8],
    pub(super) payload: Option<&'a [u8]>,
    pub(super) made_at: Millis,
}

/// Small enough that freeing one does not make the allocator tidy up.
const CHUNK: usize = 32 * 1024;

impl StoredRows {
    /// The row, or why it cannot be read.
    pub(super) fn read(&mut self, stored: Stored<'_>) -> Result<OutboxRow, &'static str> {
        let Stored { row, shard, id, topic, key, headers, payload, made_at } = stored;
        if self.topic.as_ref().is_none_or(|last| last.as_str() != topic) {
            self.topic = TopicName::new(topic).ok();
        }
        let headers = Headers::from_bytes(self.keep(headers));
        let (Some(topic), Some(headers), Ok(id)) =
            (self.topic.clone(), headers, EventId::parse(id))
        else {
            return Err("its topic, headers or id are none; it was not stored by this library");
        };
        let mut keep = |bytes: Option<&[u8]>| Some(Bytes::from(self.keep(bytes?)));
        let record = Record {
            topic,
            partition: None,
            key: keep(key),
            payload: keep(payload),
            headers,
            timestamp: Some(made_at),
        };
        Ok(OutboxRow { row, shard, id, record: Box::new(record) })
    }

    fn keep(&mut self, bytes: &[u8]) -> BytesMut {
        if self.chunk.capacity() < bytes.len() {
            self.chunk = BytesMut::with_capacity(bytes.len().max(CHUNK));
        }
        self.chunk.extend_from_slice(bytes);
        self.chunk.split()
    }
}
