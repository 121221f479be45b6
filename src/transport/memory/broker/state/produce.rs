//! What a produce request does.

use bytes::Bytes;
use tokio::time::Instant;

use super::super::super::config::Cleanup;
use super::super::partitioner::partition_of;
use super::super::watch::Operation;
use super::{Pending, Refusal, State, TransactionOf};
use crate::transport::{Delivered, Received, Record, Timestamp, TopicPartition};

impl State {
    /// Which partition a record goes to; the topic is made where that is allowed.
    pub(crate) fn place(&mut self, record: &Record) -> Result<i32, Refusal> {
        if !self.topics.contains_key(&record.topic) && self.config.auto_create {
            self.create_topic(record.topic.clone(), self.defaults());
        }
        let topic = self.topics.get(&record.topic).ok_or(Refusal::NoSuchTopic)?;
        if size(record) > topic.config.max_record {
            return Err(Refusal::TooLarge(topic.config.max_record));
        }
        if topic.config.cleanup == Cleanup::Compact && record.key.is_none() {
            return Err(Refusal::NoKey);
        }
        let count = self.partitions(&record.topic);
        match (record.partition, &record.key) {
            (Some(partition), _) if (0..count).contains(&partition) => Ok(partition),
            (Some(_), _) => Err(Refusal::NoSuchPartition),
            (None, Some(key)) => Ok(partition_of(key, count)),
            (None, None) => Ok(self.rng.i32(0..count)),
        }
    }

    /// Stores the records of one request, in order. One that is sent again is known by the sequence
    /// number of its first record.
    pub(crate) fn produce(
        &mut self,
        client: u64,
        (producer, sequence): (u64, u64),
        records: &[Pending],
        transaction: Option<&TransactionOf>,
        now: Instant,
    ) -> Result<Vec<Delivered>, Refusal> {
        if let Some((last, delivered)) = self.stored.get(&producer)
            && *last == sequence
        {
            return Ok(delivered.clone());
        }
        if let Some(transaction) = transaction {
            let open = self.transactions.open(&transaction.id, transaction.epoch)?;
            open.partitions.extend(records.iter().map(Pending::place));
        }
        let delivered: Vec<_> =
            records.iter().map(|pending| self.append(client, pending, transaction, now)).collect();
        self.stored.insert(producer, (sequence, delivered.clone()));
        self.changed = true;
        Ok(delivered)
    }

    /// Stores records once more, as they came.
    pub(crate) fn duplicate(&mut self, client: u64, records: &[Pending], now: Instant) {
        for pending in records {
            self.append(client, pending, None, now);
            if let Some(Operation::Appended { doubled, .. }) = self.operations.last_mut() {
                *doubled = true;
            }
        }
    }

    pub(super) fn append(
        &mut self,
        client: u64,
        pending: &Pending,
        transaction: Option<&TransactionOf>,
        now: Instant,
    ) -> Delivered {
        let time = self.millis(now);
        let place = pending.place();
        let append_time =
            self.topics.get(&place.topic).is_some_and(|topic| topic.config.append_time);
        let record = pending.record.clone();
        let timestamp = match append_time {
            true => Timestamp::Appended(time),
            false => Timestamp::Created(record.timestamp.unwrap_or(time)),
        };
        let open = transaction.is_some();
        let log = self.log(&place).expect("the partition was chosen among those of its topic");
        let stored = log.append(time, transaction.map(|of| of.producer), |offset| Received {
            topic: record.topic,
            partition: place.partition,
            offset,
            timestamp: Some(timestamp),
            key: record.key.as_ref().map(copied),
            payload: record.payload.as_ref().map(copied),
            headers: record.headers,
        });
        let (offset, appended_at) = (stored.offset, append_time.then_some(time));
        self.note(|| Operation::Appended { client, record: stored, doubled: false, open });
        Delivered { partition: place.partition, offset, appended_at }
    }
}

impl Pending {
    pub(super) fn place(&self) -> TopicPartition {
        TopicPartition { topic: self.record.topic.clone(), partition: self.partition }
    }
}

fn size(record: &Record) -> usize {
    let length = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
    length(&record.key) + length(&record.payload) + record.headers.size()
}

/// A broker keeps bytes of its own.
fn copied(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}
