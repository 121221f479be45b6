//! How a group reads and how often it commits.

use std::time::Duration;

use super::super::choices::{AssignmentStrategy, AutoOffsetReset, GroupProtocol, IsolationLevel};
use super::super::effective::Origin;
use super::super::names;
use super::super::table::{Client, Setting, settings};

settings! {
    /// How a group reads and how often it commits.
    ConsumerSettings at consumer {
        /// The group, for whoever does not name one in code. Default: none.
        GROUP_ID group_id(String => Option<String>) = None;
        /// Where a main topic is begun on a partition without an offset. Default: `earliest`.
        AUTO_OFFSET_RESET auto_offset_reset(AutoOffsetReset) = AutoOffsetReset::Earliest
            => Consumer "auto.offset.reset";
        /// Whether events of aborted Kafka transactions are seen. Default: `read_committed`.
        ISOLATION_LEVEL isolation_level(IsolationLevel) = IsolationLevel::ReadCommitted
            => Consumer "isolation.level";
        /// How the group's members agree. `consumer` leaves session time-out, heartbeat and assignment to the broker.
        /// Default: `classic`.
        GROUP_PROTOCOL group_protocol(GroupProtocol) = GroupProtocol::Classic => Consumer "group.protocol";
        /// How partitions are spread over the members. Default: `cooperative-sticky`.
        ASSIGNMENT_STRATEGY assignment_strategy(AssignmentStrategy) = AssignmentStrategy::CooperativeSticky;
        /// A name that this member keeps over restarts, so that a short one moves no partitions; no two members of a
        /// group may share it. Default: none.
        STATIC_MEMBER_ID static_member_id(String => Option<String>) = None => Consumer "group.instance.id";
        /// How long a silent member keeps its partitions; at least 3 heartbeats. Default: `45s`.
        SESSION_TIMEOUT session_timeout(Duration) = Duration::from_secs(45), range 1 to 3600000;
        /// How often a member says that it lives. Default: `3s`.
        HEARTBEAT heartbeat(Duration) = Duration::from_secs(3), range 1 to 3600000;
        /// How long a member may go without polling; at least the session time-out. Default: `5m`.
        MAX_POLL_INTERVAL max_poll_interval(Duration) = Duration::from_secs(300)
            => Consumer "max.poll.interval.ms", range 1 to 86400000;
        /// How many bytes a broker gathers before it answers a fetch. Default: `1`.
        FETCH_MIN_BYTES fetch_min_bytes(u32) = 1 => Consumer "fetch.min.bytes", range 1 to 100000000;
        /// How long a broker gathers them at most. Default: `500ms`.
        FETCH_MAX_WAIT fetch_max_wait(Duration) = Duration::from_millis(500)
            => Consumer "fetch.wait.max.ms", range 0 to 300000;
        /// How many events of a partition are kept at hand. Default: `1000`.
        PREFETCH prefetch(u32) = 1_000 => Consumer "queued.min.messages", range 1 to 10000000;
        /// The most bytes kept at hand, over all partitions, in whole KiB. Default: `67108864`.
        PREFETCH_MEMORY prefetch_memory(u64) = 64 * 1024 * 1024, range 1024 to 2147482624;
        /// Commit after so many handled events. Default: `1000`.
        COMMIT_EVERY commit_every(u32) = 1_000, range 1 to 4294967295;
        /// Commit after so long, if anything was handled. Default: `1s`.
        COMMIT_INTERVAL commit_interval(Duration) = Duration::from_secs(1), range 1 to 86400000;
    }
}
