//! Queueing records and waiting for their acknowledgement.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::line::Sending;
use super::outgoing::Outgoing;
use super::{BatchFailure, PublishError, Publisher, envelopes};
use crate::event::Envelope;
use crate::transport::{Batch, ProduceError, Producer, Receipt, Record};

/// Queues a record, waiting for room up to `wait`.
///
/// # Errors
/// When the queue stays full. Every other failure arrives through the receipt.
pub(crate) async fn enqueue(
    producer: &dyn Producer,
    record: &Record,
    receipt: Receipt,
    wait: Duration,
) -> Result<(), ProduceError> {
    match producer.enqueue(record, receipt) {
        Ok(()) => Ok(()),
        Err(receipt) => Box::pin(wait_for_room(producer, record, receipt, wait)).await,
    }
}

pub(super) async fn wait_for_room(
    producer: &dyn Producer,
    record: &Record,
    mut receipt: Receipt,
    wait: Duration,
) -> Result<(), ProduceError> {
    let full = ProduceError::QueueFull { waited: wait };
    let deadline = Instant::now() + wait;
    loop {
        let waited = tokio::time::timeout_at(deadline, producer.room()).await;
        match producer.enqueue(record, receipt) {
            Ok(()) => return Ok(()),
            Err(back) => receipt = back,
        }
        // The clock is asked too: room that others take each time must not prolong the wait.
        if waited.is_err() || Instant::now() >= deadline {
            receipt.settle(Err(full.clone()));
            return Err(full);
        }
    }
}

impl Publisher {
    /// Queues an event; what is left to do is to wait.
    pub(super) fn send(&self, envelope: &Envelope) -> Result<Sending, PublishError> {
        let record = envelopes::record(envelope, self.0.mode)?;
        Ok(self.0.line.send(record, envelope.metadata.id.clone()))
    }

    pub(super) async fn send_all(&self, mut events: impl Outgoing) -> Result<(), BatchFailure> {
        let (count, line) = (events.len(), &self.0.line);
        let documents = match envelopes::documents(&mut events, self.0.mode) {
            Ok(documents) => documents,
            Err(error) => {
                let unpublished = events.unpublished(0..count);
                return Err(BatchFailure { unpublished, source: error.into() });
            }
        };
        let batch = Batch::new(count);
        let mut documents = documents.into_iter();
        // The producer copies what it takes, so one record serves them all.
        let mut record = None;
        let mut full = false;
        for index in 0..count {
            let letter = events.at(index);
            let id = Some(letter.metadata.id.clone());
            let receipt = Receipt::batch(id, line.counts.clone(), batch.clone(), index);
            if full {
                // What comes after a record that was not taken must not overtake it.
                receipt.settle(Err(ProduceError::QueueFull { waited: line.send_wait }));
            } else {
                let record = record.get_or_insert_with(|| letter.blank());
                letter.lay_on(record, documents.next(), self.0.mode);
                full = line.enqueue(record, receipt).await.is_err();
            }
        }
        let waited = line.delivery_wait;
        let failed = match timeout(waited, batch.settled()).await {
            Ok(failed) => failed,
            Err(_) => batch.unsettled(ProduceError::NoAnswer { waited }),
        };
        let Some((first, source)) = failed.first().cloned() else { return Ok(()) };
        let id = events.at(first).metadata.id.clone();
        let unpublished = events.unpublished(failed.into_iter().map(|(index, _)| index));
        Err(BatchFailure { unpublished, source: PublishError::NotAcknowledged { id, source } })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use async_trait::async_trait;

    use super::*;
    use crate::event::{EventId, Headers, TopicName};
    use crate::transport::Unreachable;

    /// A queue that is full, and whose room is taken by others each time that there is some.
    struct Contended;

    #[async_trait]
    impl Producer for Contended {
        fn enqueue(&self, _: &Record, receipt: Receipt) -> Result<(), Receipt> {
            Err(receipt)
        }

        async fn room(&self) {}

        fn send_wait(&self) -> Duration {
            Duration::ZERO
        }

        fn delivery_wait(&self) -> Duration {
            Duration::ZERO
        }

        fn reachable(&self) -> Result<(), Unreachable> {
            Ok(())
        }

        async fn close(&self, _: Duration) -> Vec<EventId> {
            Vec::new()
        }
    }

    #[tokio::test]
    async fn the_wait_for_room_ends_also_when_there_is_room_for_others_all_the_time() {
        let record = Record {
            topic: TopicName::from_static("t"),
            partition: None,
            key: None,
            payload: None,
            headers: Headers::default(),
            timestamp: None,
        };
        let (receipt, answer) = Receipt::one(None, Arc::default());
        let (begun, wait) = (Instant::now(), Duration::from_millis(50));
        let full = ProduceError::QueueFull { waited: wait };
        assert_eq!(enqueue(&Contended, &record, receipt, wait).await, Err(full.clone()));
        assert!(begun.elapsed() >= wait);
        assert_eq!(answer.await.unwrap(), Err(full));
    }
}
