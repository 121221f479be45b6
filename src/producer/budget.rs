//! What all messages that are not settled may take of memory.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::transport::{ProduceError, Record};

/// What is counted as one.
const UNIT: usize = 1024;
/// What a message takes beside its bytes.
const BESIDE: usize = 512;

/// Memory for messages, in order of asking.
pub(super) struct Budget {
    units: Arc<Semaphore>,
    most: u32,
}

impl Budget {
    /// At least one unit, and as much as `bytes`.
    pub(super) fn new(bytes: usize) -> Self {
        let most = u32::try_from(bytes / UNIT).unwrap_or(u32::MAX).max(1);
        let most = most.min(u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX));
        Self { units: Arc::new(Semaphore::new(most as usize)), most }
    }

    /// Waits for memory for a record. One that is larger than all of it has all of it for itself.
    ///
    /// # Errors
    /// When the producer is closed.
    pub(super) async fn take(&self, record: &Record) -> Result<OwnedSemaphorePermit, ProduceError> {
        let bytes = |bytes: &Option<bytes::Bytes>| bytes.as_ref().map_or(0, bytes::Bytes::len);
        let size =
            bytes(&record.key) + bytes(&record.payload) + record.headers.size() + BESIDE + UNIT - 1;
        let units = u32::try_from(size / UNIT).unwrap_or(u32::MAX).clamp(1, self.most);
        self.units.clone().acquire_many_owned(units).await.map_err(|_| ProduceError::Closed)
    }

    /// Gives nothing any more.
    pub(super) fn close(&self) {
        self.units.close();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::event::{Headers, TopicName};

    fn record(bytes: usize) -> Record {
        Record {
            topic: TopicName::from_static("t"),
            partition: None,
            key: None,
            payload: Some(vec![0; bytes].into()),
            headers: Headers::default(),
            timestamp: None,
        }
    }

    #[test]
    fn memory_is_given_up_to_its_bound_and_comes_back_and_a_giant_has_it_for_itself() {
        let budget = Budget::new(4 * UNIT);
        let take = |bytes| budget.take(&record(bytes)).now_or_never();
        let taken = take(3 * UNIT).unwrap();
        assert!(take(1).is_none());
        drop(taken);
        let giant = take(100 * UNIT).unwrap();
        assert!(take(1).is_none());
        drop(giant);
        budget.close();
        assert_eq!(take(1).unwrap().unwrap_err(), ProduceError::Closed);
    }
}
