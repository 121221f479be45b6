//! What a broker did, and what consumers did with its records, told to whoever watches.
//!
//! A simulator writes its story from it, and crashes clients right after the n-th of their operations.

use std::sync::Arc;

use super::faults::Fault;
use super::groups::MemberId;
use crate::transport::{Observer, Offsets, Received, Step, TopicPartition};

/// Hears what a broker does and what consumers do, each in order.
pub trait Watcher: Send + Sync + 'static {
    /// The broker did one of the [`Operation`]s; of fetches, heartbeats, new topics and what is cleaned
    /// away nothing is told. It is told with the broker held, before anybody can see what was done: be
    /// short, and do not call the broker.
    fn did(&self, _operation: &Operation) {}

    /// A consumer of a client took a step, told on the task that took it: be short.
    fn stepped(&self, _client: u64, _step: &Step<'_>) {}
}

/// Tells the steps of one client's consumers.
pub(crate) struct Steps {
    pub(crate) watchers: Vec<Arc<dyn Watcher>>,
    pub(crate) client: u64,
}

impl Observer for Steps {
    fn saw(&self, step: &Step<'_>) {
        self.watchers.iter().for_each(|watcher| watcher.stepped(self.client, step));
    }
}

/// Something that a broker did. Clients and members have numbers: [`Memory::number`] says a client's.
///
/// [`Memory::number`]: crate::transport::memory::Memory::number
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Operation {
    /// It stored a record.
    Appended {
        /// Whose.
        client: u64,
        /// The record, as readers get it.
        record: Arc<Received>,
        /// Stored a second time by a fault.
        doubled: bool,
        /// Of a transaction that is not committed yet.
        open: bool,
    },
    /// A transaction has ended in a partition.
    Ended {
        /// The partition.
        partition: TopicPartition,
        /// Its records there, which readers of committed ones can see from now on; none where it was
        /// aborted.
        committed: Vec<Arc<Received>>,
    },
    /// A client joined a group.
    Joined {
        /// The group.
        group: String,
        /// The new member.
        member: MemberId,
        /// Of which client.
        client: u64,
    },
    /// A member was given partitions.
    Assigned {
        /// The group.
        group: String,
        /// The member.
        member: MemberId,
        /// What is its own from now on.
        partitions: Vec<TopicPartition>,
    },
    /// A member gave partitions back.
    Released {
        /// The group.
        group: String,
        /// The member.
        member: MemberId,
        /// What is its own no longer.
        partitions: Vec<TopicPartition>,
    },
    /// A member is gone, and what it had is free.
    Left {
        /// The group.
        group: String,
        /// The member.
        member: MemberId,
        /// It did not go by itself.
        thrown_out: bool,
    },
    /// A member asked for a commit.
    Committed {
        /// The group.
        group: String,
        /// The member.
        member: MemberId,
        /// The next offset to read of each partition.
        offsets: Offsets,
        /// Why nothing was committed; `None` where it was.
        refused: Option<String>,
    },
    /// A fault happened.
    Failed(Fault),
}
