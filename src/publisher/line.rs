//! A producer with its waits and counts: what sends records and waits for their acknowledgement.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::send::{enqueue, wait_for_room};
use crate::event::EventId;
use crate::transport::{Delivered, DeliveryCounts, ProduceError, Producer, Receipt, Record};

/// The way to the broker.
pub(crate) struct Line {
    pub(crate) producer: Arc<dyn Producer>,
    pub(crate) counts: Arc<DeliveryCounts>,
    pub(crate) send_wait: Duration,
    pub(crate) delivery_wait: Duration,
}

/// A record that waits for room in the queue, as hardly any does.
type WaitsForRoom = Pin<Box<dyn Future<Output = Result<(), ProduceError>> + Send>>;

/// A record on its way. It is what a send keeps while it waits: many wait at once, so it is small.
pub(crate) struct Sending {
    room: Option<WaitsForRoom>,
    answer: oneshot::Receiver<Result<Delivered, ProduceError>>,
    wait: Duration,
}

/// A record that is queued, and will be answered for.
pub(crate) struct Queued(oneshot::Receiver<Result<Delivered, ProduceError>>);

impl Line {
    /// With the producer's own waits.
    pub(crate) fn new(producer: Arc<dyn Producer>) -> Self {
        Self {
            send_wait: producer.send_wait(),
            delivery_wait: producer.delivery_wait(),
            producer,
            counts: Arc::default(),
        }
    }

    /// Queues a record whose receipt the caller keeps an eye on.
    ///
    /// # Errors
    /// When the queue stays full for the send wait.
    pub(crate) async fn enqueue(
        &self,
        record: &Record,
        receipt: Receipt,
    ) -> Result<(), ProduceError> {
        enqueue(&*self.producer, record, receipt, self.send_wait).await
    }

    /// Queues a record that is kept to be sent again.
    ///
    /// # Errors
    /// When the queue stays full for the send wait.
    pub(crate) async fn queue(&self, record: &Record, id: EventId) -> Result<Queued, ProduceError> {
        let (receipt, answer) = Receipt::one(Some(id), self.counts.clone());
        self.enqueue(record, receipt).await?;
        Ok(Queued(answer))
    }

    /// Queues a record at once where there is room.
    pub(crate) fn send(&self, record: Record, id: EventId) -> Sending {
        let (receipt, answer) = Receipt::one(Some(id), self.counts.clone());
        let full = self.producer.enqueue(&record, receipt).err();
        let room = full.map(|receipt| -> WaitsForRoom {
            let (producer, wait) = (self.producer.clone(), self.send_wait);
            Box::pin(async move { wait_for_room(&*producer, &record, receipt, wait).await })
        });
        Sending { room, answer, wait: self.delivery_wait }
    }
}

impl Sending {
    /// Waits until it is in the queue.
    ///
    /// # Errors
    /// When the queue stays full for the send wait.
    pub(crate) async fn queued(&mut self) -> Result<(), ProduceError> {
        match self.room.take() {
            Some(room) => room.await,
            None => Ok(()),
        }
    }

    /// As [`queued`](Self::queued), and it was not refused by the client at once.
    ///
    /// # Errors
    /// When the queue stays full, or what the client said.
    pub(crate) async fn taken(mut self) -> Result<(), ProduceError> {
        self.queued().await?;
        self.answer.try_recv().map_or(Ok(()), |answer| answer.map(drop))
    }

    /// Waits for what the broker says, for the delivery wait at most.
    ///
    /// # Errors
    /// What the broker or the client said, or that no answer came.
    pub(crate) async fn acknowledged(mut self) -> Result<Delivered, ProduceError> {
        self.queued().await?;
        let waited = self.wait;
        match timeout(waited, self.answer).await {
            Ok(answer) => answer.unwrap_or(Err(ProduceError::Closed)),
            Err(_) => Err(ProduceError::NoAnswer { waited }),
        }
    }
}

impl Queued {
    /// Waits until the transport says what became of the record, however long that takes: each one is settled.
    ///
    /// # Errors
    /// What the broker or the client said.
    pub(crate) async fn settled(self) -> Result<Delivered, ProduceError> {
        self.0.await.unwrap_or(Err(ProduceError::Closed))
    }
}
