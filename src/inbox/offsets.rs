//! The offsets of a group in its database, for a transport that reads from there.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::run::Transact;
use crate::error::{BoxError, chain};
use crate::transport::{KeptOffsets, Offsets};

pub(crate) struct StoredOffsets {
    inbox: Arc<dyn Transact>,
    group: Arc<str>,
    /// Why those that were asked for last are not known.
    unknown: Mutex<Option<String>>,
}

impl StoredOffsets {
    pub(crate) fn new(inbox: Arc<dyn Transact>, group: Arc<str>) -> Self {
        Self { inbox, group, unknown: Mutex::default() }
    }

    /// What of a group's partitions is not read because of it.
    pub(crate) fn problem(&self) -> Option<String> {
        let unknown = self.unknown();
        unknown.as_ref().map(|why| {
            format!("the offsets in its database are not known, and nothing new is read: {why}")
        })
    }

    fn unknown(&self) -> MutexGuard<'_, Option<String>> {
        self.unknown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl KeptOffsets for StoredOffsets {
    async fn offsets(&self) -> Result<Offsets, BoxError> {
        // Who asks may give up before there is an answer.
        self.unknown().get_or_insert_with(|| "it was asked and has not answered".into());
        let offsets = self.inbox.offsets(&self.group).await;
        *self.unknown() = offsets.as_ref().err().map(|error| chain(error));
        Ok(offsets?)
    }
}

impl std::fmt::Debug for StoredOffsets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredOffsets").field("group", &self.group).finish_non_exhaustive()
    }
}
