//! Groups as tools see them: who is in them, how far they have read, what is left.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Admin, Position, TopicPartition, TransportError};

/// A group in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupListing {
    /// Its name.
    pub group: String,
    /// What the broker says that it does: `Stable`, `Empty`, ...
    pub state: String,
}

/// A group as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupDescription {
    /// What the broker says that it does: `Stable`, `Empty`, ...
    pub state: String,
    /// How it shares partitions, where that is known.
    pub assignor: Option<String>,
    /// Who is in it.
    pub members: Vec<GroupMemberDescription>,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMemberDescription {
    /// What the broker calls it.
    pub id: String,
    /// The name that it keeps over restarts, where it has one.
    pub instance: Option<String>,
    /// What its client calls itself.
    pub client: String,
    /// Where it is.
    pub host: String,
    /// What the group gave it, by partition. Retry topics follow their main topic and are not among them.
    pub partitions: Vec<TopicPartition>,
}

/// How far a group has come in a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionLag {
    /// Which partition.
    pub partition: TopicPartition,
    /// The next offset that it will read; `None` where nothing is committed.
    pub committed: Option<i64>,
    /// The offset that the next record gets.
    pub end: i64,
    /// Offsets between the two; `None` where nothing is committed. Transactions and compaction leave
    /// offsets without a record, so there may be fewer records.
    pub lag: Option<i64>,
    /// The member that the group gave it to.
    pub member: Option<String>,
}

/// How far a group has come in every partition that it has committed or is given, retry topics included;
/// `None` where there is no such group.
///
/// # Errors
/// When a broker does not answer within `within`, or denies access.
pub async fn group_lag(
    admin: &dyn Admin,
    group: &str,
    within: Duration,
) -> Result<Option<Vec<PartitionLag>>, TransportError> {
    let Some(described) = admin.group(group, within).await? else { return Ok(None) };
    let committed: BTreeMap<_, _> = admin.committed(group, within).await?.into_iter().collect();
    let owners: BTreeMap<_, _> = described
        .members
        .iter()
        .flat_map(|member| {
            member.partitions.iter().map(|partition| (partition.clone(), &member.id))
        })
        .collect();
    let all: BTreeSet<_> = committed.keys().chain(owners.keys()).cloned().collect();
    let places: Vec<_> = all.into_iter().map(|partition| (partition, Position::Latest)).collect();
    let ends = admin.offsets(&places, within).await?;
    let lag = |((partition, _), end): ((TopicPartition, Position), i64)| {
        let committed = committed.get(&partition).copied();
        PartitionLag {
            committed,
            end,
            lag: committed.map(|committed| (end - committed).max(0)),
            member: owners.get(&partition).map(|member| (*member).clone()),
            partition,
        }
    };
    Ok(Some(places.into_iter().zip(ends).map(lag).collect()))
}
