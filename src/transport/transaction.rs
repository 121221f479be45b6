//! The port of a transactional producer: records and offsets that become visible together, or never.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::{Offsets, Receipt, Record, TransportError};

/// A producer whose records, and the offsets of what they were made from, are committed together.
///
/// One transaction at a time: [`begin`](Self::begin), then records and offsets, then
/// [`commit`](Self::commit) or [`abort`](Self::abort). Readers that read only what is committed see
/// all of it or nothing.
#[async_trait]
pub trait Transactions: Send + Sync + 'static {
    /// Begins a transaction; the first one fences every older producer of the same id.
    ///
    /// # Errors
    /// When the broker does not answer, or a newer producer has the id.
    async fn begin(&self) -> Result<(), TransactionError>;

    /// Takes a copy of the record into the transaction. The receipt is settled as by
    /// [`Producer::enqueue`](super::Producer::enqueue).
    ///
    /// # Errors
    /// The receipt comes back when the queue is full.
    fn enqueue(&self, record: &Record, receipt: Receipt) -> Result<(), Receipt>;

    /// Adds the offsets of a group's member: they are committed with the records.
    ///
    /// # Errors
    /// When the member is no longer one of its group: then the transaction must be aborted.
    async fn add_offsets(
        &self,
        member: &GroupMember,
        offsets: Offsets,
    ) -> Result<(), TransactionError>;

    /// Waits for its records and commits.
    ///
    /// # Errors
    /// [`MustAbort`](TransactionError::MustAbort) when one of its records was not stored.
    async fn commit(&self) -> Result<(), TransactionError>;

    /// Takes everything of the transaction back.
    ///
    /// # Errors
    /// When the broker does not answer, or a newer producer has the id.
    async fn abort(&self) -> Result<(), TransactionError>;
}

/// Why a transaction did not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransactionError {
    /// This transport has none.
    #[error("the {system} transport has no transactions")]
    Unsupported {
        /// The transport, as `messaging.system` names it.
        system: &'static str,
    },
    /// A newer producer of the same id has taken over; this one is done for.
    #[error("a newer producer has the transactional id {id:?}; end this one")]
    Fenced {
        /// The id.
        id: String,
    },
    /// It can only be aborted.
    #[error("the transaction must be aborted: {reason}")]
    MustAbort {
        /// What failed in it.
        reason: String,
    },
    /// It was called out of turn.
    #[error("{called} was called while {state}")]
    OutOfTurn {
        /// The call.
        called: &'static str,
        /// What the producer was doing.
        state: &'static str,
    },
    /// The broker refused, or did not answer.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

/// Who a member is to its group's coordinator; only the transport that made it can read it.
#[derive(Clone)]
pub struct GroupMember(Arc<dyn Any + Send + Sync>);

impl GroupMember {
    /// A member as the transport knows it.
    pub fn new(member: impl Any + Send + Sync) -> Self {
        Self(Arc::new(member))
    }

    /// What the transport put in, if it is of this type.
    pub fn as_ref<T: Any>(&self) -> Option<&T> {
        self.0.downcast_ref()
    }
}

impl fmt::Debug for GroupMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GroupMember")
    }
}
