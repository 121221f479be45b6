//! What tools ask: groups, how far they have come, offsets; and reading without a group.

use std::collections::BTreeSet;

use super::behaviour::{Failure, Verdict, declare, holds, same};
use super::member::Join;
use super::trial::{Client, Trial, at, numbered};
use crate::event::TopicName;
use crate::transport::{Position, ReadEvent, Received, TopicPartition, group_lag, positions};

declare! { "tools":
    no_group [Groups] = "a group that is not there is described as none",
    described [Groups] = "a group is listed, and described with its members and what each was given",
    lag [Groups] = "the offsets that a group has committed are told, followers included, and what is left to read",
    left [Groups] = "a group whose members have left is empty and keeps its offsets",
    offsets [Offsets] = "offsets are told by place, in the order asked for",
    times [Offsets, OffsetsByTime] = "an offset is told by time; by one behind the last record it is the end",
    no_partition [Offsets] = "the offset of a partition that is not there is an error that names it",
    reads [Offsets] = "without a group a topic is read from any place, and goes on with what comes",
    ends [Offsets] = "a reader says when it has reached the end of a partition, also of an empty one",
    untouched [Groups, Offsets] = "reading without a group makes no group and moves no offset",
}

/// A topic of two partitions, with so many records in the second one.
async fn filled(trial: &Trial, client: &Client, records: usize) -> Verdict<TopicName> {
    let topic = trial.topic(client, "tools", 2).await?;
    let all: Vec<_> = (0..records).map(|n| numbered(&topic, 1, n)).collect();
    trial.send_all(client, &all).await?;
    Ok(topic)
}

async fn no_group(trial: &Trial) -> Verdict {
    let client = trial.client()?;
    let found = client.admin().group(&trial.name("nobody"), trial.limits().patience).await;
    let found = found.map_err(Failure::of("a group is described"))?;
    holds("there is none", found.is_none(), found)
}

async fn described(trial: &Trial) -> Verdict {
    let (client, patience) = (trial.client()?, trial.limits().patience);
    let topic = filled(trial, &client, 1).await?;
    let group = trial.name("group");
    let member = trial.join(&client, Join::new(&group, [&topic]))?;
    let joined = || (member.state().owned.len() == 2).then_some(());
    trial.until("the member has both partitions", &[&member], joined).await?;
    let admin = client.admin();
    let listed = admin.groups(patience).await.map_err(Failure::of("groups are listed"))?;
    holds("it is listed", listed.iter().any(|listed| listed.group == group), &listed)?;
    let found = admin.group(&group, patience).await.map_err(Failure::of("a group is described"))?;
    let Some(found) = found else { return holds("the group is there", false, ()) };
    same("the members", 1, found.members.len())?;
    let given: BTreeSet<_> = found.members[0].partitions.iter().cloned().collect();
    same("what the member was given", BTreeSet::from([at(&topic, 0), at(&topic, 1)]), given)
}

/// Reads and commits up to 3 of 5 records, and a follower's first.
async fn committed(trial: &Trial, client: &Client) -> Verdict<(TopicName, TopicName, String)> {
    let (topic, follower) = (filled(trial, client, 5).await?, filled(trial, client, 2).await?);
    let group = trial.name("group");
    let join = Join::new(&group, [&topic]).follower(&follower, &topic);
    let member = trial.join(client, join)?;
    let read = || (member.state().records.len() == 7).then_some(());
    trial.until("all is read", &[&member], read).await?;
    member.control().commit(vec![(at(&topic, 1), 3), (at(&follower, 1), 1)]);
    let done = || (!member.state().commits.is_empty()).then_some(());
    trial.until("the commit is answered", &[&member], done).await?;
    member.close();
    trial.until("the member has left", &[&member], || member.has_left().then_some(())).await?;
    Ok((topic, follower, group))
}

async fn lag(trial: &Trial) -> Verdict {
    let client = trial.client()?;
    let (topic, follower, group) = committed(trial, &client).await?;
    let lag = group_lag(&*client.admin(), &group, &[], trial.limits().patience).await;
    let lag = lag.map_err(Failure::of("the lag is told"))?;
    let Some(lag) = lag else { return holds("the group is there", false, ()) };
    let of = |partition: TopicPartition| {
        let found = lag.iter().find(|lag| lag.partition == partition)?;
        Some((found.committed, found.end, found.lag))
    };
    same("the topic", Some((Some(3), 5, 2)), of(at(&topic, 1)))?;
    same("its other partition", Some((None, 0, 0)), of(at(&topic, 0)))?;
    same("what follows it", Some((Some(1), 2, 1)), of(at(&follower, 1)))?;
    let (other, nobody) = (filled(trial, &client, 4).await?, trial.name("nobody"));
    for group in [&group, &nobody] {
        let known = std::slice::from_ref(&other);
        let lag = group_lag(&*client.admin(), group, known, trial.limits().patience).await;
        let lag = lag.map_err(Failure::of("the lag is told"))?.unwrap_or_default();
        let found = lag.iter().find(|lag| lag.partition == at(&other, 1));
        let found = found.map(|lag| (lag.committed, lag.first, lag.end, lag.lag));
        same("a topic that it is known to read", Some((None, 0, 4, 4)), found)?;
    }
    Ok(())
}

async fn left(trial: &Trial) -> Verdict {
    let (client, patience) = (trial.client()?, trial.limits().patience);
    let (topic, _, group) = committed(trial, &client).await?;
    let found = client.admin().group(&group, patience).await;
    let found = found.map_err(Failure::of("a group is described"))?;
    let Some(found) = found else { return holds("the group is there", false, ()) };
    same("the members", 0, found.members.len())?;
    let offsets = client.admin().committed(&group, patience).await;
    let offsets = offsets.map_err(Failure::of("offsets are told"))?;
    holds("its offset is kept", offsets.contains(&(at(&topic, 1), 3)), offsets)
}

/// The offsets of these places of the partitions of a topic.
async fn told(
    trial: &Trial,
    client: &Client,
    topic: &TopicName,
    places: impl IntoIterator<Item = (i32, Position)>,
) -> Verdict<Vec<i64>> {
    let places = places.into_iter().map(|(partition, position)| (at(topic, partition), position));
    let places: Vec<_> = places.collect();
    let found = client.admin().offsets(&places, trial.limits().patience).await;
    found.map_err(Failure::of("offsets are told"))
}

async fn offsets(trial: &Trial) -> Verdict {
    let client = trial.client()?;
    let topic = filled(trial, &client, 4).await?;
    let places = [
        (1, Position::Latest),
        (1, Position::Earliest),
        (0, Position::Latest),
        (1, Position::Offset(2)),
    ];
    same("the offsets", vec![4, 0, 0, 2], told(trial, &client, &topic, places).await?)
}

async fn times(trial: &Trial) -> Verdict {
    let client = trial.client()?;
    let topic = trial.topic(&client, "times", 2).await?;
    let begin = client.clock().now() - 100_000;
    for n in 0..4 {
        let mut record = numbered(&topic, 1, n);
        record.timestamp = Some(begin + i64::try_from(n).unwrap_or_default() * 1_000);
        trial.send(&client, &record).await?;
    }
    let places = [(1, 1_500), (1, 9_000), (0, 0)];
    let places = places.map(|(partition, after)| (partition, Position::Time(begin + after)));
    same("the offsets", vec![2, 4, 0], told(trial, &client, &topic, places).await?)
}

async fn no_partition(trial: &Trial) -> Verdict {
    let client = trial.client()?;
    let topic = trial.topic(&client, "one", 1).await?;
    let places = [(at(&topic, 0), Position::Latest), (at(&topic, 7), Position::Latest)];
    match client.admin().offsets(&places, trial.limits().patience).await {
        Ok(offsets) => holds("it is an error", false, offsets),
        Err(error) => {
            let text = crate::error::chain(&error);
            holds("the error names it", text.contains(&at(&topic, 7).to_string()), text)
        }
    }
}

/// Reads a topic without a group until there are so many records.
async fn read(
    trial: &Trial,
    client: &Client,
    (topic, position): (&TopicName, Position),
    count: usize,
) -> Verdict<Vec<Received>> {
    let patience = trial.limits().patience;
    let from = positions(&*client.admin(), topic, position, patience).await;
    let from = from.map_err(Failure::of("offsets are told"))?;
    let Some(from) = from else {
        return Err(Failure::new("expected a topic to be there, seen none"));
    };
    let mut reader = client.read(from).map_err(Failure::of("a topic is read"))?;
    let mut records = Vec::new();
    while records.len() < count {
        let event = tokio::time::timeout(patience, reader.next()).await;
        let Ok(Some(event)) = event else {
            return Err(Failure::new(format!(
                "expected {count} records from {position:?} on, seen {} and then none",
                records.len()
            )));
        };
        if let ReadEvent::Records(batch) = event.map_err(Failure::of("a topic is read"))? {
            records.extend(batch.records);
        }
    }
    Ok(records)
}

async fn reads(trial: &Trial) -> Verdict {
    let client = trial.client()?;
    let topic = filled(trial, &client, 5).await?;
    for (position, expected) in
        [(Position::Earliest, vec![0, 1, 2, 3, 4]), (Position::Offset(3), vec![3, 4])]
    {
        // The other partition is empty: an offset that it does not have is its end.
        let records = read(trial, &client, (&topic, position), expected.len()).await?;
        let offsets = records.iter().map(|record| record.offset).collect::<Vec<_>>();
        same(&format!("offsets from {position:?} on"), expected, offsets)?;
        let partitions: BTreeSet<_> = records.iter().map(|record| record.partition).collect();
        same("the partitions", BTreeSet::from([1]), partitions)?;
    }
    let late = async {
        // Sent again and again: what comes before the reader is ready is not its to see.
        loop {
            trial.send(&client, &numbered(&topic, 0, 7)).await?;
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let latest = read(trial, &client, (&topic, Position::Latest), 1);
    let records = tokio::select! {
        records = latest => records?,
        never = late => return never,
    };
    same("the partition of what comes", 0, records[0].partition)
}

async fn ends(trial: &Trial) -> Verdict {
    let (client, patience) = (trial.client()?, trial.limits().patience);
    let topic = filled(trial, &client, 3).await?;
    let from = vec![(at(&topic, 0), 0), (at(&topic, 1), 1)];
    let mut reader = client.read(from).map_err(Failure::of("a topic is read"))?;
    let (mut read, mut ended) = (0, BTreeSet::new());
    while ended.len() < 2 {
        match tokio::time::timeout(patience, reader.next()).await {
            Ok(Some(Ok(ReadEvent::Records(batch)))) => read += batch.records.len(),
            Ok(Some(Ok(ReadEvent::End(partition)))) => {
                if partition == at(&topic, 1) {
                    same("records before the end", 2, read)?;
                }
                ended.insert(partition);
            }
            other => return holds("both ends are told", false, other),
        }
    }
    same("the ends", BTreeSet::from([at(&topic, 0), at(&topic, 1)]), ended)
}

async fn untouched(trial: &Trial) -> Verdict {
    let (client, patience) = (trial.client()?, trial.limits().patience);
    let (topic, _, group) = committed(trial, &client).await?;
    read(trial, &client, (&topic, Position::Earliest), 5).await?;
    let admin = client.admin();
    let offsets =
        admin.committed(&group, patience).await.map_err(Failure::of("offsets are told"))?;
    holds("the offset stays where it was", offsets.contains(&(at(&topic, 1), 3)), &offsets)?;
    let listed = admin.groups(patience).await.map_err(Failure::of("groups are listed"))?;
    let readers: Vec<_> =
        listed.into_iter().filter(|listed| listed.group.starts_with("tidings-reader")).collect();
    holds("no group was made", readers.is_empty(), readers)
}
