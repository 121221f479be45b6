//! Queueing records and waiting for their acknowledgement.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::{BatchFailure, PublishError, Publisher, envelopes};
use crate::event::Envelope;
use crate::transport::{Batch, Delivered, ProduceError, Producer, Receipt, Record};

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
    let Err(mut receipt) = producer.enqueue(record, receipt) else { return Ok(()) };
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
    pub(super) async fn enqueue(
        &self,
        envelope: Envelope,
        receipt: Receipt,
    ) -> Result<(), PublishError> {
        let record = envelopes::record(&envelope, self.0.mode)?;
        enqueue(&*self.0.producer, &record, receipt, self.0.send_wait)
            .await
            .map_err(|source| PublishError::NotAcknowledged { id: envelope.metadata.id, source })
    }

    pub(super) async fn send_one(&self, envelope: Envelope) -> Result<Delivered, PublishError> {
        let id = envelope.metadata.id.clone();
        let (receipt, answer) = Receipt::one(Some(id.clone()), self.0.counts.clone());
        self.enqueue(envelope, receipt).await?;
        let waited = self.0.delivery_wait;
        let outcome = match timeout(waited, answer).await {
            Ok(answer) => answer.unwrap_or(Err(ProduceError::Closed)),
            Err(_) => Err(ProduceError::NoAnswer { waited }),
        };
        outcome.map_err(|source| PublishError::NotAcknowledged { id, source })
    }

    pub(super) async fn send_all(&self, envelopes: Vec<Envelope>) -> Result<(), BatchFailure> {
        let mut records = Vec::with_capacity(envelopes.len());
        for envelope in &envelopes {
            match envelopes::record(envelope, self.0.mode) {
                Ok(record) => records.push(record),
                Err(error) => {
                    return Err(BatchFailure { unpublished: envelopes, source: error.into() });
                }
            }
        }
        let batch = Batch::new(records.len());
        let mut full = false;
        for (index, record) in records.into_iter().enumerate() {
            let id = Some(envelopes[index].metadata.id.clone());
            let receipt = Receipt::batch(id, self.0.counts.clone(), batch.clone(), index);
            if full {
                // What comes after a record that was not taken must not overtake it.
                receipt.settle(Err(ProduceError::QueueFull { waited: self.0.send_wait }));
            } else {
                full =
                    enqueue(&*self.0.producer, &record, receipt, self.0.send_wait).await.is_err();
            }
        }
        let waited = self.0.delivery_wait;
        let failed = match timeout(waited, batch.settled()).await {
            Ok(failed) => failed,
            Err(_) => batch.unsettled(ProduceError::NoAnswer { waited }),
        };
        let Some((first, source)) = failed.first().cloned() else { return Ok(()) };
        let source =
            PublishError::NotAcknowledged { id: envelopes[first].metadata.id.clone(), source };
        let mut envelopes: Vec<_> = envelopes.into_iter().map(Some).collect();
        let unpublished = failed.iter().filter_map(|(index, _)| envelopes[*index].take()).collect();
        Err(BatchFailure { unpublished, source })
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
