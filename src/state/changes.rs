//! What changes in a view, told as it happens.

use std::sync::Arc;

use tokio::sync::{broadcast, watch};

use super::key::StateKey;
use super::status::Phase;

/// What has changed.
#[derive(Debug)]
#[non_exhaustive]
pub enum StateChange<V> {
    /// A key has this value now.
    Put {
        /// The key.
        key: StateKey,
        /// Its value.
        value: Arc<V>,
    },
    /// A key has gone.
    Removed {
        /// The key.
        key: StateKey,
    },
    /// The topic begins anew, and so does the view: nothing is in it.
    Cleared,
    /// So many changes came faster than they were taken; the view itself has them all.
    Missed(u64),
}

impl<V> Clone for StateChange<V> {
    fn clone(&self) -> Self {
        match self {
            Self::Put { key, value } => Self::Put { key: key.clone(), value: value.clone() },
            Self::Removed { key } => Self::Removed { key: key.clone() },
            Self::Cleared => Self::Cleared,
            Self::Missed(count) => Self::Missed(*count),
        }
    }
}

/// The changes of a view since this was asked for. A change is in the view before it is told.
pub struct StateChanges<V> {
    changes: broadcast::Receiver<StateChange<V>>,
    phase: watch::Receiver<Phase>,
}

impl<V> StateChanges<V> {
    pub(super) fn new(
        changes: broadcast::Receiver<StateChange<V>>,
        phase: watch::Receiver<Phase>,
    ) -> Self {
        Self { changes, phase }
    }

    /// Waits for the next change; `None` once the view has stopped.
    pub async fn next(&mut self) -> Option<StateChange<V>> {
        let told = tokio::select! {
            biased;
            told = self.changes.recv() => told,
            // The sender of a phase that can still change is held by who reads.
            _ = self.phase.wait_for(|phase| matches!(phase, Phase::Stopped(_))) => return None,
        };
        match told {
            Ok(change) => Some(change),
            Err(broadcast::error::RecvError::Lagged(count)) => Some(StateChange::Missed(count)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

impl<V> std::fmt::Debug for StateChanges<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StateChanges")
    }
}
