//! The port of a producer, and the receipt that says what became of a record.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::task::AtomicWaker;
use tokio::sync::oneshot;

use super::{Record, Unreachable};
use crate::clock::Millis;
use crate::error::ErrorClass;
use crate::event::{EventId, TopicName};

/// Takes records to the broker. All records of one caller keep their order.
#[async_trait]
pub trait Producer: Send + Sync + 'static {
    /// Takes a copy of the record into the bounded queue. The receipt is settled exactly once: by
    /// the broker's answer, by a time-out, or at once where the record can never be sent.
    ///
    /// # Errors
    /// The receipt comes back when the queue is full; [`room`](Self::room) says when to try again.
    fn enqueue(&self, record: &Record, receipt: Receipt) -> Result<(), Receipt>;

    /// Waits until the queue has room for a record.
    async fn room(&self);

    /// How long a publisher waits for room by default.
    fn send_wait(&self) -> Duration;

    /// How long a publisher waits for an acknowledgement by default.
    fn delivery_wait(&self) -> Duration;

    /// Whether the broker answered lately, and if not since when and why.
    fn reachable(&self) -> Result<(), Unreachable>;

    /// Takes nothing more, sends what is queued, and after `within` gives up on the rest.
    /// Answers the ids of what was given up. Later calls answer nothing.
    async fn close(&self, within: Duration) -> Vec<EventId>;
}

/// Where an acknowledged record lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// Its partition.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// The broker's time of the append, where the topic keeps it.
    pub appended_at: Option<Millis>,
}

/// Why a record was not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProduceError {
    /// The client's queue stayed full.
    #[error(
        "the producer's queue is full and had no room within {waited:?}; the broker is slow or away"
    )]
    QueueFull {
        /// How long was waited.
        waited: Duration,
    },
    /// The broker or the client refused it; where the class is permanent, for what it is.
    #[error("{topic} did not take the record: {reason}")]
    Refused {
        /// Where it was to go.
        topic: TopicName,
        /// What can be done about it.
        class: ErrorClass,
        /// What the client said.
        reason: String,
    },
    /// Nothing is wrong with the record: its topic is not there or not to be written, or the broker does not let the
    /// client in. The same record can be stored once somebody has changed that.
    #[error(
        "nothing can be written to {topic}: {reason}; make the topic, or let this service in and write to it"
    )]
    Unwritable {
        /// Where it was to go.
        topic: TopicName,
        /// What the client said.
        reason: String,
    },
    /// It is larger than its topic takes.
    #[error("{topic} takes no record of this size ({reason}); raise its max.message.bytes")]
    TooLarge {
        /// Where it was to go.
        topic: TopicName,
        /// What the client said.
        reason: String,
    },
    /// No answer came in time. It may have been stored or not.
    #[error("no acknowledgement within {waited:?}; the record may or may not have been stored")]
    NoAnswer {
        /// How long was waited.
        waited: Duration,
    },
    /// The producer was closed before the record was acknowledged.
    #[error("the producer was closed before the record was acknowledged")]
    Closed,
}

impl ProduceError {
    /// What can be done about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::QueueFull { .. } | Self::NoAnswer { .. } => ErrorClass::Retriable,
            Self::Refused { class, .. } => *class,
            Self::Unwritable { .. } | Self::TooLarge { .. } => ErrorClass::Permanent,
            Self::Closed => ErrorClass::Fatal,
        }
    }

    /// Whether it is the record that is at fault: it is refused each time, whatever becomes of the broker, the
    /// client and the topic's rights.
    pub(crate) fn is_of_the_record(&self) -> bool {
        match self {
            Self::Refused { class, .. } => *class == ErrorClass::Permanent,
            Self::TooLarge { .. } => true,
            _ => false,
        }
    }
}

/// What became of the records of a publisher, whether anybody waited for it or not.
#[derive(Debug, Default)]
pub struct DeliveryCounts {
    acknowledged: AtomicU64,
    failed: AtomicU64,
}

impl DeliveryCounts {
    /// Records that the broker acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Records that were given up.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
}

/// Goes with a record and comes back settled: to one waiter, to a batch, or to the counters only.
///
/// Dropping it unsettled settles it as [`ProduceError::Closed`].
#[derive(Debug)]
pub struct Receipt {
    id: Option<EventId>,
    counts: Arc<DeliveryCounts>,
    waiter: Waiter,
}

#[derive(Debug)]
enum Waiter {
    One(oneshot::Sender<Result<Delivered, ProduceError>>),
    Batch(Arc<Batch>, usize),
    Nobody,
    Settled,
}

impl Receipt {
    /// A receipt for one waiter. The receiver may go away; the outcome is counted all the same.
    pub fn one(
        id: Option<EventId>,
        counts: Arc<DeliveryCounts>,
    ) -> (Self, oneshot::Receiver<Result<Delivered, ProduceError>>) {
        let (sender, receiver) = oneshot::channel();
        (Self { id, counts, waiter: Waiter::One(sender) }, receiver)
    }

    /// A receipt for the `index`th record of a batch.
    pub fn batch(
        id: Option<EventId>,
        counts: Arc<DeliveryCounts>,
        batch: Arc<Batch>,
        index: usize,
    ) -> Self {
        Self { id, counts, waiter: Waiter::Batch(batch, index) }
    }

    /// A receipt that is counted and nothing else.
    pub fn counted(id: Option<EventId>, counts: Arc<DeliveryCounts>) -> Self {
        Self { id, counts, waiter: Waiter::Nobody }
    }

    /// The id of the event that the record carries.
    pub fn id(&self) -> Option<&EventId> {
        self.id.as_ref()
    }

    /// Says what became of the record.
    pub fn settle(mut self, outcome: Result<Delivered, ProduceError>) {
        self.settle_once(outcome);
    }

    fn settle_once(&mut self, outcome: Result<Delivered, ProduceError>) {
        let waiter = std::mem::replace(&mut self.waiter, Waiter::Settled);
        let count = match (&waiter, &outcome) {
            (Waiter::Settled, _) => return,
            (_, Ok(_)) => &self.counts.acknowledged,
            (_, Err(_)) => &self.counts.failed,
        };
        count.fetch_add(1, Ordering::Relaxed);
        match waiter {
            Waiter::One(sender) => drop(sender.send(outcome)),
            Waiter::Batch(batch, index) => batch.settle(index, outcome.err()),
            Waiter::Nobody | Waiter::Settled => {}
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        self.settle_once(Err(ProduceError::Closed));
    }
}

/// One shared acknowledgement for many records: one wake-up when the last of them is settled.
#[derive(Debug)]
pub struct Batch {
    open: AtomicUsize,
    /// By index. Set last: an index that failed is among the failed ones before.
    settled: Box<[AtomicBool]>,
    failed: Mutex<Vec<(usize, ProduceError)>>,
    waker: AtomicWaker,
}

impl Batch {
    /// A batch that waits for `records` receipts.
    pub fn new(records: usize) -> Arc<Self> {
        Arc::new(Self {
            open: AtomicUsize::new(records),
            settled: (0..records).map(|_| AtomicBool::new(false)).collect(),
            failed: Mutex::default(),
            waker: AtomicWaker::new(),
        })
    }

    fn failed(&self) -> std::sync::MutexGuard<'_, Vec<(usize, ProduceError)>> {
        self.failed.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn settle(&self, index: usize, error: Option<ProduceError>) {
        match error {
            None => self.settled[index].store(true, Ordering::Release),
            Some(error) => {
                let mut failed = self.failed();
                failed.push((index, error));
                self.settled[index].store(true, Ordering::Release);
            }
        }
        if self.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.waker.wake();
        }
    }

    /// Waits for the last receipt; answers the index and error of each record that failed, by index.
    pub async fn settled(&self) -> Vec<(usize, ProduceError)> {
        std::future::poll_fn(|cx| {
            self.waker.register(cx.waker());
            match self.open.load(Ordering::Acquire) {
                0 => std::task::Poll::Ready(()),
                _ => std::task::Poll::Pending,
            }
        })
        .await;
        let mut failed = std::mem::take(&mut *self.failed());
        failed.sort_by_key(|(index, _)| *index);
        failed
    }

    /// For who stops waiting: what has failed, and what is open with `error`, by index.
    pub fn unsettled(&self, error: ProduceError) -> Vec<(usize, ProduceError)> {
        // Nothing fails while the lock is held, so no index is taken for both.
        let mut all = self.failed();
        let mut failed = std::mem::take(&mut *all);
        let open = self.settled.iter().map(|settled| !settled.load(Ordering::Acquire));
        failed
            .extend(open.enumerate().filter(|(_, open)| *open).map(|(at, _)| (at, error.clone())));
        failed.sort_by_key(|(index, _)| *index);
        failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivered() -> Delivered {
        Delivered { partition: 0, offset: 7, appended_at: None }
    }

    #[tokio::test]
    async fn a_batch_wakes_once_and_names_what_failed_by_its_place() {
        let counts = Arc::new(DeliveryCounts::default());
        let batch = Batch::new(3);
        let receipts: Vec<_> =
            (0..3).map(|i| Receipt::batch(None, counts.clone(), batch.clone(), i)).collect();
        let waiting = tokio::spawn({
            let batch = batch.clone();
            async move { batch.settled().await }
        });
        for (index, receipt) in receipts.into_iter().enumerate() {
            match index {
                1 => drop(receipt),
                _ => receipt.settle(Ok(delivered())),
            }
        }
        assert_eq!(waiting.await.unwrap(), [(1, ProduceError::Closed)]);
        assert_eq!((counts.acknowledged(), counts.failed()), (2, 1));
    }

    #[test]
    fn an_outcome_is_counted_even_when_nobody_waits_any_more() {
        let counts = Arc::new(DeliveryCounts::default());
        let (receipt, waiter) = Receipt::one(None, counts.clone());
        drop(waiter);
        receipt.settle(Ok(delivered()));
        drop(Receipt::counted(None, counts.clone()));
        assert_eq!((counts.acknowledged(), counts.failed()), (1, 1));
    }
}
