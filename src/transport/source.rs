//! The port of a consumer's source: a group member that reads partitions it is assigned.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::{GroupMember, Received, TopicPartition, TransportError};
use crate::error::{BoxError, ErrorClass};
use crate::event::TopicName;

/// What a member of a group wants to read.
#[derive(Debug, Clone)]
pub struct Subscription {
    /// The group.
    pub group: String,
    /// Topics that the group assigns by itself.
    pub topics: Vec<TopicName>,
    /// Topics whose partitions follow those of a topic above: who owns partition 3 of the one owns
    /// partition 3 of the other.
    pub followers: Vec<Follower>,
    /// How long a revoke waits at most for [`RevokeReply`].
    pub revoke_wait: Duration,
    /// Where the group keeps offsets beside those at the broker, if it does: a partition is read from
    /// the higher of the two. While they cannot be had it is not read.
    pub kept: Option<Arc<dyn KeptOffsets>>,
    /// Whether [`SourceEvent::End`] is told, which costs a little.
    pub ends: bool,
}

/// Offsets that a group keeps elsewhere than at the broker.
#[async_trait]
pub trait KeptOffsets: Send + Sync + std::fmt::Debug + 'static {
    /// The next offset to read of each partition that is kept.
    ///
    /// # Errors
    /// When they cannot be had now.
    async fn offsets(&self) -> Result<Offsets, BoxError>;
}

/// A topic whose partitions follow another's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Follower {
    /// The topic that follows. Without a committed offset it is read from its beginning.
    pub topic: TopicName,
    /// The topic that leads.
    pub leader: TopicName,
}

/// A running member: its events in order, and the handle that steers it.
#[derive(Debug)]
pub struct Source {
    /// What happens, in order. Closed when the member has left.
    pub events: mpsc::Receiver<SourceEvent>,
    /// What it is told.
    pub control: Arc<dyn SourceControl>,
}

/// What a source is told. Calls are taken in order and carried out soon; none blocks.
pub trait SourceControl: Send + Sync + std::fmt::Debug + 'static {
    /// Fetches no more of these partitions.
    fn pause(&self, partitions: Vec<TopicPartition>);
    /// Fetches them again.
    fn resume(&self, partitions: Vec<TopicPartition>);
    /// Goes on reading at these offsets. Records that are on their way already still come.
    fn seek(&self, offsets: Offsets);
    /// Commits: the next offset to read of each partition. Answered by [`SourceEvent::Committed`], of
    /// which there may be several. A partition that is no longer ours is not committed.
    fn commit(&self, offsets: Offsets);
    /// Leaves the group; the event channel closes afterwards.
    fn close(&self);
    /// How long ago the source last asked the broker for events.
    fn polled(&self) -> Duration;
    /// Who the member is now, for a transaction that commits its offsets. `None`: not in the group,
    /// or the transport has no transactions.
    fn member(&self) -> Option<GroupMember> {
        None
    }
}

/// What a source tells.
#[derive(Debug)]
pub enum SourceEvent {
    /// These partitions are ours from now on. An empty list says that the group gave us none.
    Assigned(Vec<Assigned>),
    /// These partitions are ours no longer, once the reply is given or the wait is over.
    Revoked {
        /// Which.
        partitions: Vec<TopicPartition>,
        /// Taken away already: another member may read them, so nothing can be committed.
        lost: bool,
        /// What is done and can be committed.
        reply: RevokeReply,
    },
    /// Records of one partition, by offset.
    Records(RecordBatch),
    /// The end of a partition was reached, behind the records that were told before; more may come. Told only
    /// where the subscription says so. Of a transaction at the very end it may come late, or not.
    End(TopicPartition),
    /// What became of a commit.
    Committed {
        /// What was asked for.
        offsets: Offsets,
        /// Whether it was taken.
        result: Result<(), CommitFailed>,
    },
    /// Something went wrong that the source goes on from, or that it cannot go on from (fatal).
    Error(TransportError),
}

/// Why a commit was not taken.
pub type CommitFailed = TransportError;

/// A partition that was assigned.
#[derive(Debug, Clone)]
pub struct Assigned {
    /// Which.
    pub partition: TopicPartition,
    /// The group's committed offset, or the one it keeps where that is higher; where it is known at
    /// this point.
    pub committed: Option<i64>,
}

/// Records of one partition, by offset.
#[derive(Debug)]
pub struct RecordBatch {
    /// Which partition.
    pub partition: TopicPartition,
    /// At least one.
    pub records: Vec<Received>,
}

/// The next offset to read of each partition.
pub type Offsets = Vec<(TopicPartition, i64)>;

/// The answer to a revoke: what may be committed before the partitions go. Dropping it answers
/// that nothing may.
pub struct RevokeReply(Box<dyn FnOnce(Offsets) + Send>);

impl RevokeReply {
    /// A reply that goes to `release`.
    pub fn new(release: impl FnOnce(Offsets) + Send + 'static) -> Self {
        Self(Box::new(release))
    }

    /// Lets the partitions go, after a commit of these offsets.
    pub fn release(self, offsets: Offsets) {
        (self.0)(offsets);
    }
}

impl std::fmt::Debug for RevokeReply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RevokeReply")
    }
}

impl SourceEvent {
    /// Whether the source ends with this event.
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::Error(error) if error.class == ErrorClass::Fatal)
    }
}
