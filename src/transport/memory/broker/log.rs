//! One partition: its records by offset, the transactions open in it, and what is cleaned away.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::super::config::Isolation;
use crate::clock::{Millis, millis};
use crate::transport::Received;

/// How long a tombstone stays in a compacted partition, so that slow readers see it
/// (`delete.retention.ms`).
const TOMBSTONES: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Debug, Default)]
pub(crate) struct Log {
    start: i64,
    next: i64,
    entries: VecDeque<Entry>,
    /// The first offset of each open transaction, by its producer.
    open: BTreeMap<u64, i64>,
}

#[derive(Debug)]
struct Entry {
    offset: i64,
    appended: Millis,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Record(Arc<Received>, Fate),
    /// The end of a transaction; readers never see it, but it has an offset.
    Marker,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Committed,
    Open(u64),
    Aborted,
}

/// What a fetch found.
pub(crate) enum Fetched {
    /// Records, and the offset to go on from.
    Records(Vec<Arc<Received>>, i64),
    /// The offset is not in the log, which reaches from the first to before the second.
    OutOfRange(i64, i64),
}

impl Log {
    pub(crate) fn start(&self) -> i64 {
        self.start
    }

    /// The offset that the next record gets.
    pub(crate) fn end(&self) -> i64 {
        self.next
    }

    /// The offset of the first record that is not older than a time; the end where none is.
    pub(crate) fn since(&self, time: Millis) -> i64 {
        let recent = |record: &&Arc<Received>| {
            record.timestamp.is_some_and(|timestamp| timestamp.millis() >= time)
        };
        self.records().find(recent).map_or(self.next, |record| record.offset)
    }

    /// Up to where a reader may read.
    pub(crate) fn readable(&self, isolation: Isolation) -> i64 {
        match isolation {
            Isolation::ReadUncommitted => self.next,
            Isolation::ReadCommitted => self.open.values().copied().min().unwrap_or(self.next),
        }
    }

    /// Appends what `record` makes of its offset; `transaction` is the producer of an open one.
    pub(crate) fn append(
        &mut self,
        appended: Millis,
        transaction: Option<u64>,
        record: impl FnOnce(i64) -> Received,
    ) -> Arc<Received> {
        let offset = self.next;
        self.next += 1;
        let fate = transaction.map_or(Fate::Committed, |producer| {
            self.open.entry(producer).or_insert(offset);
            Fate::Open(producer)
        });
        let record = Arc::new(record(offset));
        let body = Body::Record(record.clone(), fate);
        self.entries.push_back(Entry { offset, appended, body });
        record
    }

    /// Ends a producer's transaction: a marker, and its records are seen or never. Answers those that are.
    pub(crate) fn end_transaction(
        &mut self,
        producer: u64,
        committed: bool,
        now: Millis,
    ) -> Vec<Arc<Received>> {
        let mut seen = Vec::new();
        if self.open.remove(&producer).is_none() {
            return seen;
        }
        let end = if committed { Fate::Committed } else { Fate::Aborted };
        for entry in &mut self.entries {
            if let Body::Record(record, fate) = &mut entry.body
                && *fate == Fate::Open(producer)
            {
                *fate = end;
                seen.extend(committed.then(|| record.clone()));
            }
        }
        self.entries.push_back(Entry { offset: self.next, appended: now, body: Body::Marker });
        self.next += 1;
        seen
    }

    /// Up to `most` records from `from` on, as a reader of this isolation sees them.
    pub(crate) fn fetch(&self, from: i64, most: usize, isolation: Isolation) -> Fetched {
        if from < self.start || from > self.next {
            return Fetched::OutOfRange(self.start, self.next);
        }
        let end = self.readable(isolation);
        let first = self.entries.partition_point(|entry| entry.offset < from);
        let mut records = Vec::new();
        let mut next = from;
        for entry in self.entries.range(first..) {
            if entry.offset >= end || records.len() == most {
                return Fetched::Records(records, next);
            }
            next = entry.offset + 1;
            if let Body::Record(record, fate) = &entry.body
                && (*fate != Fate::Aborted || isolation == Isolation::ReadUncommitted)
            {
                records.push(record.clone());
            }
        }
        // What was compacted away leaves nothing to wait for.
        Fetched::Records(records, next.max(end))
    }

    /// Every record that a reader of committed ones sees, or could see once open transactions commit.
    pub(crate) fn records(&self) -> impl Iterator<Item = &Arc<Received>> {
        self.entries.iter().filter_map(|entry| match &entry.body {
            Body::Record(record, fate) if *fate != Fate::Aborted => Some(record),
            _ => None,
        })
    }

    /// The records that a reader finds from an offset on.
    pub(crate) fn unread(&self, from: i64, isolation: Isolation) -> usize {
        match self.fetch(from.clamp(self.start, self.next), usize::MAX, isolation) {
            Fetched::Records(records, _) => records.len(),
            Fetched::OutOfRange(..) => 0,
        }
    }

    /// Forgets what was appended longer than `retention` ago.
    pub(crate) fn retain(&mut self, retention: Duration, now: Millis) {
        let oldest = now.saturating_sub(millis(retention));
        let stable = self.readable(Isolation::ReadCommitted);
        while let Some(first) = self.entries.front()
            && first.appended < oldest
            && first.offset < stable
        {
            self.start = first.offset + 1;
            self.entries.pop_front();
        }
    }

    /// Keeps the last record of each key, and tombstones for a day. Open transactions are left alone.
    pub(crate) fn compact(&mut self, now: Millis) {
        let stable = self.readable(Isolation::ReadCommitted);
        let mut last: HashMap<Bytes, i64> = HashMap::new();
        for entry in &self.entries {
            if let Body::Record(record, Fate::Committed) = &entry.body
                && entry.offset < stable
                && let Some(key) = &record.key
            {
                last.insert(key.clone(), entry.offset);
            }
        }
        let gone = now.saturating_sub(millis(TOMBSTONES));
        self.entries.retain(|entry| {
            if entry.offset >= stable {
                return true;
            }
            let Body::Record(record, Fate::Committed) = &entry.body else { return false };
            let newest = record.key.as_ref().is_none_or(|key| last.get(key) == Some(&entry.offset));
            newest && (record.payload.is_some() || entry.appended >= gone)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Headers, TopicName};

    fn record(key: &str, payload: Option<&str>) -> impl FnOnce(i64) -> Received {
        let key = Some(Bytes::copy_from_slice(key.as_bytes()));
        let payload = payload.map(|text| Bytes::copy_from_slice(text.as_bytes()));
        move |offset| Received {
            topic: TopicName::from_static("t"),
            partition: 0,
            offset,
            timestamp: None,
            key,
            payload,
            headers: Headers::default(),
        }
    }

    fn offsets(log: &Log, from: i64, isolation: Isolation) -> (Vec<i64>, i64) {
        match log.fetch(from, 100, isolation) {
            Fetched::Records(records, next) => (records.iter().map(|r| r.offset).collect(), next),
            Fetched::OutOfRange(start, end) => panic!("{from} is not in {start}..{end}"),
        }
    }

    #[test]
    fn readers_of_committed_records_stop_at_the_first_open_transaction_and_skip_aborted_ones() {
        let mut log = Log::default();
        log.append(0, None, record("a", Some("0")));
        log.append(0, Some(7), record("b", Some("1")));
        log.append(0, None, record("c", Some("2")));
        let committed = Isolation::ReadCommitted;
        assert_eq!(offsets(&log, 0, committed), (vec![0], 1));
        assert_eq!(offsets(&log, 0, Isolation::ReadUncommitted), (vec![0, 1, 2], 3));
        log.end_transaction(7, false, 0);
        assert_eq!(offsets(&log, 0, committed), (vec![0, 2], 4), "the marker has an offset");
        log.append(0, Some(7), record("d", Some("4")));
        log.end_transaction(7, true, 0);
        assert_eq!(offsets(&log, 3, committed), (vec![4], 6));
        assert_eq!(log.unread(5, committed), 0, "a marker is nothing to read");
    }

    #[test]
    fn compaction_keeps_the_last_record_of_each_key_and_its_offset() {
        let mut log = Log::default();
        log.append(0, None, record("a", Some("old")));
        log.append(0, None, record("b", Some("kept")));
        log.append(0, None, record("a", None));
        log.compact(0);
        assert_eq!(offsets(&log, 0, Isolation::ReadCommitted), (vec![1, 2], 3));
        log.compact(millis(TOMBSTONES) + 1);
        assert_eq!(offsets(&log, 0, Isolation::ReadCommitted), (vec![1], 3));
        assert_eq!((log.start(), log.end()), (0, 3));
    }

    #[test]
    fn retention_moves_the_start_and_a_reader_before_it_is_out_of_range() {
        let mut log = Log::default();
        log.append(0, None, record("a", Some("0")));
        log.append(5_000, None, record("b", Some("1")));
        log.retain(Duration::from_secs(3), 6_000);
        assert_eq!((log.start(), log.end()), (1, 2));
        assert!(matches!(log.fetch(0, 1, Isolation::ReadCommitted), Fetched::OutOfRange(1, 2)));
        log.retain(Duration::from_secs(3), 60_000);
        assert_eq!((log.start(), log.end()), (2, 2));
    }
}
