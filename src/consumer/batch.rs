//! Records that stay in the batch they came with.

use std::ops::Deref;
use std::sync::Arc;

use crate::transport::Received;

/// A reference that one thread alone counts, to what several threads share.
pub(super) type Local<T> = Arc<Arc<T>>;

/// A record in its batch, which is freed with the last of its records: one allocation for all of them.
///
/// What that keeps in memory is bounded: a partition's open offsets span its batches.
#[derive(Clone)]
pub(super) struct BatchRecord {
    batch: Local<Vec<Received>>,
    at: usize,
}

impl BatchRecord {
    pub(super) fn all(records: Vec<Received>) -> impl Iterator<Item = Self> {
        let batch = Arc::new(Arc::new(records));
        (0..batch.len()).map(move |at| Self { batch: batch.clone(), at })
    }

    /// The record at `at` of a batch.
    pub(super) fn of(batch: &Local<Vec<Received>>, at: usize) -> Self {
        Self { batch: batch.clone(), at }
    }
}

impl Deref for BatchRecord {
    type Target = Received;

    fn deref(&self) -> &Received {
        &self.batch[self.at]
    }
}
