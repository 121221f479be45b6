//! What a broker did, told to whoever watches it.
//!
//! A simulator writes its story from it, and crashes clients right after the n-th of their operations.

use std::sync::Arc;

use super::faults::Fault;
use super::groups::MemberId;
use crate::transport::{Offsets, Received, TopicPartition};

/// Hears of everything that a broker does, in order: be short, and change nothing at the broker.
pub trait Watcher: Send + Sync + 'static {
    /// The broker did something.
    fn saw(&self, operation: &Operation);
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
