//! Groups as tools see them: who is in them, how far they have read, what is left.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Admin, Offsets, Position, TopicPartition, TransportError};
use crate::event::TopicName;

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
    /// The offset of the oldest record that is still there.
    pub first: i64,
    /// The offset that the next record gets.
    pub end: i64,
    /// Offsets from what is committed to the end. Where nothing is committed all that lie there: what a group reads that
    /// begins with the earliest record; one that begins with the latest has less to read. Transactions and compaction
    /// leave offsets without a record, so there may be fewer records.
    pub lag: i64,
    /// The member that the group gave it to.
    pub member: Option<String>,
}

/// How far a group has come in all partitions of every topic of which it has committed or is given one, retry topics
/// included, and of `topics`: those that it is known to read, so that what it has not begun is seen too. A topic that
/// is not there has no partitions. `None` where there is no such group and it is known to read nothing.
///
/// # Errors
/// When a broker does not answer within `within`, or denies access.
pub async fn group_lag(
    admin: &dyn Admin,
    group: &str,
    topics: &[TopicName],
    within: Duration,
) -> Result<Option<Vec<PartitionLag>>, TransportError> {
    let (members, committed) = match admin.group(group, within).await? {
        Some(described) => (described.members, admin.committed(group, within).await?),
        None if topics.is_empty() => return Ok(None),
        None => (Vec::new(), Offsets::new()),
    };
    let committed = committed.into_iter().collect();
    let owners: BTreeMap<_, _> = members
        .into_iter()
        .flat_map(|member| {
            let id = member.id;
            member.partitions.into_iter().map(move |partition| (partition, id.clone()))
        })
        .collect();
    let topics = topics.iter().cloned().chain(owners.keys().map(|given| given.topic.clone()));
    let mut lag = behind(admin, &committed, topics, within).await?;
    for lag in &mut lag {
        lag.member = owners.get(&lag.partition).cloned();
    }
    Ok(Some(lag))
}

/// The same of these topics, without a look at who is in the group.
pub(crate) async fn lag_of(
    admin: &dyn Admin,
    group: &str,
    topics: &[TopicName],
    within: Duration,
) -> Result<Vec<PartitionLag>, TransportError> {
    let mut committed: BTreeMap<_, _> = admin.committed(group, within).await?.into_iter().collect();
    committed.retain(|partition, _| topics.contains(&partition.topic));
    behind(admin, &committed, topics.iter().cloned(), within).await
}

async fn behind(
    admin: &dyn Admin,
    committed: &BTreeMap<TopicPartition, i64>,
    topics: impl Iterator<Item = TopicName>,
    within: Duration,
) -> Result<Vec<PartitionLag>, TransportError> {
    let topics: BTreeSet<_> =
        committed.keys().map(|partition| partition.topic.clone()).chain(topics).collect();
    let topics: Vec<_> = topics.into_iter().collect();
    let partitions = admin.partitions(&topics, within).await?;
    let all = topics.into_iter().zip(partitions).flat_map(|(topic, partitions)| {
        (0..partitions.unwrap_or(0))
            .map(move |partition| TopicPartition { topic: topic.clone(), partition })
    });
    let all: Vec<_> = all.collect();
    let places = |position| all.iter().map(|place| (place.clone(), position)).collect::<Vec<_>>();
    let firsts = admin.offsets(&places(Position::Earliest), within).await?;
    let ends = admin.offsets(&places(Position::Latest), within).await?;
    let lag = |((partition, first), end): ((TopicPartition, i64), i64)| {
        let committed = committed.get(&partition).copied();
        let lag = (end - committed.unwrap_or(first)).max(0);
        PartitionLag { partition, committed, first, end, lag, member: None }
    };
    Ok(all.iter().cloned().zip(firsts).zip(ends).map(lag).collect())
}
