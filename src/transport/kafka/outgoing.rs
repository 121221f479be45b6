//! What a member's thread hands to the runtime: events in their order, and records in batches of one
//! partition, of which only so many may be on their way.

use std::collections::VecDeque;

use tokio::sync::mpsc;

use crate::transport::{Received, RecordBatch, SourceEvent, TopicPartition};

pub(super) struct Outgoing {
    events: mpsc::Sender<SourceEvent>,
    /// Records polled and not sent yet, all of one partition.
    batch: Option<RecordBatch>,
    /// What was sent and, as far as is known, not received; of records the partition and how many.
    under_way: VecDeque<Option<(TopicPartition, usize)>>,
    most: usize,
    /// How many the last batch had: the next one is given room for as many.
    room: usize,
}

impl Outgoing {
    /// No more than `most` records of a partition are on their way at a time, or one batch.
    pub(super) fn new(events: mpsc::Sender<SourceEvent>, most: usize) -> Self {
        Self { events, batch: None, under_way: VecDeque::new(), most, room: 1 }
    }

    /// Sends an event behind the records that were polled before it.
    pub(super) fn send(&mut self, event: SourceEvent) {
        self.flush();
        self.forward(event, None);
    }

    /// Adds a record to the batch of its partition.
    pub(super) fn push(&mut self, record: Received) {
        if let Some(batch) = &mut self.batch
            && batch.partition.partition == record.partition
            && batch.partition.topic == record.topic
        {
            batch.records.push(record);
            return;
        }
        self.flush();
        let partition = TopicPartition { topic: record.topic.clone(), partition: record.partition };
        let mut records = Vec::with_capacity(self.room);
        records.push(record);
        self.batch = Some(RecordBatch { partition, records });
    }

    /// Sends the batch at hand.
    pub(super) fn flush(&mut self) {
        let Some(batch) = self.batch.take() else { return };
        self.room = batch.records.len();
        let what = (batch.partition.clone(), self.room);
        self.wait_for_room(&what);
        self.forward(SourceEvent::Records(batch), Some(what));
    }

    /// Whether nobody receives any more.
    pub(super) fn is_deserted(&self) -> bool {
        self.events.is_closed()
    }

    fn forward(&mut self, event: SourceEvent, what: Option<(TopicPartition, usize)>) {
        self.under_way.push_back(what);
        // Fails only when the runtime is gone: then nobody has to know.
        let _ = self.events.blocking_send(event);
    }

    /// Waits until so many more records of a partition may be on their way.
    fn wait_for_room(&mut self, (partition, more): &(TopicPartition, usize)) {
        let places = self.events.max_capacity();
        let open = places - self.events.capacity();
        self.under_way.drain(..self.under_way.len().saturating_sub(open));
        let mut room = self.most.saturating_sub(*more);
        let fits = |what: &&Option<(TopicPartition, usize)>| {
            let records = what.as_ref().filter(|(of, _)| of == partition).map_or(0, |(_, n)| *n);
            let fits = records <= room;
            room = room.saturating_sub(records);
            fits
        };
        let keep = self.under_way.iter().rev().take_while(fits).count();
        if keep < self.under_way.len() {
            // They are received in order: with this many places free no more than those are left. It
            // fails only when the runtime is gone.
            let _ = futures::executor::block_on(self.events.reserve_many(places - keep));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Headers, TopicName};

    fn record(partition: i32, offset: i64) -> Received {
        Received {
            topic: TopicName::from_static("t"),
            partition,
            offset,
            timestamp: None,
            key: None,
            payload: None,
            headers: Headers::default(),
        }
    }

    #[test]
    fn of_a_partition_only_so_many_are_on_their_way_and_others_pass() {
        let (events, mut received) = mpsc::channel(64);
        let (told, said) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mut outgoing = Outgoing::new(events, 10);
            for (partition, offsets) in [(0, 0..6), (1, 0..6), (0, 6..10), (1, 6..8), (0, 10..13)] {
                offsets.for_each(|offset| outgoing.push(record(partition, offset)));
                outgoing.flush();
                told.send(()).unwrap();
            }
        });
        (0..4).for_each(|_| said.recv().unwrap());
        let on_their_way = |received: &mpsc::Receiver<SourceEvent>| received.len();
        assert_eq!(on_their_way(&received), 4);
        // The fifth would make 13 of partition 0.
        assert!(said.recv_timeout(std::time::Duration::from_millis(50)).is_err());
        let next = |received: &mut mpsc::Receiver<SourceEvent>| match received.blocking_recv() {
            Some(SourceEvent::Records(batch)) => {
                (batch.partition.partition, batch.records.len(), batch.records[0].offset)
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(next(&mut received), (0, 6, 0));
        said.recv().unwrap();
        thread.join().unwrap();
        let rest: Vec<_> = (0..4).map(|_| next(&mut received)).collect();
        assert_eq!(rest, [(1, 6, 0), (0, 4, 6), (1, 2, 6), (0, 3, 10)]);
    }

    #[test]
    fn a_runtime_that_is_gone_holds_nobody_up() {
        let (events, received) = mpsc::channel(64);
        let mut outgoing = Outgoing::new(events, 1);
        outgoing.push(record(0, 0));
        outgoing.flush();
        drop(received);
        outgoing.push(record(0, 1));
        outgoing.flush();
        assert!(outgoing.is_deserted());
    }
}
