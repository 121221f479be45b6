//! A producer with its waits and counts: what sends records and waits for their acknowledgement.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::send::enqueue;
use crate::event::EventId;
use crate::transport::{Delivered, DeliveryCounts, ProduceError, Producer, Receipt, Record};

/// The way to the broker.
#[derive(Clone)]
pub(crate) struct Line {
    pub(crate) producer: Arc<dyn Producer>,
    pub(crate) counts: Arc<DeliveryCounts>,
    pub(crate) send_wait: Duration,
    pub(crate) delivery_wait: Duration,
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

    /// Queues a record.
    ///
    /// # Errors
    /// When the queue stays full for the send wait.
    pub(crate) async fn queue(&self, record: &Record, id: EventId) -> Result<Queued, ProduceError> {
        let (receipt, answer) = Receipt::one(Some(id), self.counts.clone());
        self.enqueue(record, receipt).await?;
        Ok(Queued(answer))
    }

    /// Waits for what the broker says, for the delivery wait at most.
    ///
    /// # Errors
    /// What the broker or the client said, or that no answer came.
    pub(crate) async fn answer(&self, queued: Queued) -> Result<Delivered, ProduceError> {
        let waited = self.delivery_wait;
        match timeout(waited, queued.0).await {
            Ok(answer) => answer.unwrap_or(Err(ProduceError::Closed)),
            Err(_) => Err(ProduceError::NoAnswer { waited }),
        }
    }
}

impl Queued {
    /// What the client refused at once; nothing where the record is on its way.
    pub(crate) fn refused(mut self) -> Option<ProduceError> {
        self.0.try_recv().ok().and_then(Result::err)
    }
}
