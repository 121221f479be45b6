//! Groups: who reads what, and who takes over from whom.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use super::behaviour::{Verdict, declare, holds, same};
use super::member::{Join, Member, OnRevoke};
use super::trial::{Client, Trial, at, number, run_of};
use crate::event::TopicName;
use crate::transport::TopicPartition;

declare! { "groups":
    two_groups = "two groups each see everything",
    divided_among [Rebalance] = "a group's partitions are divided among its members, and each record goes to one of them",
    spare [Rebalance] = "a member that the group has nothing for is told so",
    hand_over [Rebalance] = "when members join and leave, nothing is lost and nothing committed is repeated",
    leaving [Rebalance] = "a member that leaves is replaced at once",
    dying [Rebalance, Death] = "a member that dies without leaving is replaced after its session",
}

/// Whether each of `all` belongs to one of the members, and every member has some.
pub(super) fn divided(members: &[&Member], all: &BTreeSet<TopicPartition>) -> Option<()> {
    let owned: Vec<_> = members.iter().map(|member| member.state().partitions()).collect();
    let union: BTreeSet<_> = owned.iter().flatten().cloned().collect();
    let some = owned.iter().all(|owned| !owned.is_empty());
    let once = owned.iter().map(BTreeSet::len).sum::<usize>() == union.len();
    (some && once && union == *all).then_some(())
}

/// All partitions of a topic.
pub(super) fn partitions(topic: &TopicName, count: i32) -> BTreeSet<TopicPartition> {
    (0..count).map(|partition| at(topic, partition)).collect()
}

/// How often each number of each partition came to one of the members.
fn seen(members: &[&Member]) -> BTreeMap<(i32, usize), usize> {
    let mut seen = BTreeMap::new();
    for member in members {
        for record in &member.state().records {
            *seen.entry((record.partition, number(record).unwrap_or(usize::MAX))).or_default() += 1;
        }
    }
    seen
}

/// Sends these numbers to each partition.
async fn send_to_each(
    trial: &Trial,
    client: &Client,
    topic: &TopicName,
    count: i32,
    numbers: std::ops::Range<usize>,
) -> Verdict {
    for partition in 0..count {
        trial.send_all(client, &run_of(topic, partition, numbers.clone())).await?;
    }
    Ok(())
}

/// Waits until the members have these numbers of each partition, and fails unless each came once.
async fn each_once(
    trial: &Trial,
    members: &[&Member],
    count: i32,
    numbers: std::ops::Range<usize>,
) -> Verdict {
    let expected: BTreeMap<_, _> = (0..count)
        .flat_map(|partition| numbers.clone().map(move |number| ((partition, number), 1)))
        .collect();
    let what = format!("{} records are read", expected.len());
    trial
        .until(&what, members, || {
            let seen = seen(members);
            expected.keys().all(|record| seen.contains_key(record)).then_some(())
        })
        .await?;
    let seen = seen(members);
    let others = seen.iter().filter(|(record, times)| expected.get(record) != Some(*times));
    let others: Vec<_> = others.collect();
    holds("each record came once", others.is_empty(), others)
}

async fn two_groups(trial: &Trial) -> Verdict {
    let (one, other) = (trial.client()?, trial.client()?);
    let topic = trial.topic(&one, "both", 3).await?;
    let members = [
        trial.join(&one, Join::new(trial.name("a"), [&topic]))?,
        trial.join(&other, Join::new(trial.name("b"), [&topic]))?,
    ];
    send_to_each(trial, &one, &topic, 3, 0..20).await?;
    for member in &members {
        each_once(trial, &[member], 3, 0..20).await?;
    }
    Ok(())
}

async fn divided_among(trial: &Trial) -> Verdict {
    let (one, other) = (trial.client()?, trial.client()?);
    let topic = trial.topic(&one, "divided", 4).await?;
    let group = trial.name("group");
    let a = trial.join(&one, Join::new(&group, [&topic]))?;
    let b = trial.join(&other, Join::new(&group, [&topic]))?;
    let all = partitions(&topic, 4);
    trial.until("the partitions are divided", &[&a, &b], || divided(&[&a, &b], &all)).await?;
    send_to_each(trial, &one, &topic, 4, 0..20).await?;
    each_once(trial, &[&a, &b], 4, 0..20).await?;
    for member in [&a, &b] {
        let state = member.state();
        let read: BTreeSet<_> =
            state.records.iter().map(|record| at(&topic, record.partition)).collect();
        same("the partitions that a member has read", state.partitions(), read)?;
    }
    Ok(())
}

async fn spare(trial: &Trial) -> Verdict {
    let (one, other) = (trial.client()?, trial.client()?);
    let topic = trial.topic(&one, "spare", 1).await?;
    let group = trial.name("group");
    let a = trial.join(&one, Join::new(&group, [&topic]))?;
    let b = trial.join(&other, Join::new(&group, [&topic]))?;
    trial
        .until("both are told what they have, one of them nothing", &[&a, &b], || {
            let (a, b) = (a.state(), b.state());
            let told = a.assignments > 0 && b.assignments > 0;
            (told && a.owned.len() + b.owned.len() == 1).then_some(())
        })
        .await
}

async fn hand_over(trial: &Trial) -> Verdict {
    let (one, other) = (trial.client()?, trial.client()?);
    let topic = trial.topic(&one, "handed", 4).await?;
    let (group, all) = (trial.name("group"), partitions(&topic, 4));
    let join = || Join::new(&group, [&topic]).on_revoke(OnRevoke::CommitRead);
    let a = trial.join(&one, join())?;
    send_to_each(trial, &one, &topic, 4, 0..10).await?;
    each_once(trial, &[&a], 4, 0..10).await?;
    let b = trial.join(&other, join())?;
    trial.until("the partitions are divided", &[&a, &b], || divided(&[&a, &b], &all)).await?;
    send_to_each(trial, &one, &topic, 4, 10..20).await?;
    each_once(trial, &[&a, &b], 4, 0..20).await?;
    a.close();
    trial
        .until("the second has them all", &[&a, &b], || {
            (a.has_left() && b.state().partitions() == all).then_some(())
        })
        .await?;
    send_to_each(trial, &other, &topic, 4, 20..30).await?;
    each_once(trial, &[&a, &b], 4, 0..30).await
}

async fn leaving(trial: &Trial) -> Verdict {
    let (one, other) = (trial.client()?, trial.client()?);
    let topic = trial.topic(&one, "left", 4).await?;
    let (group, all) = (trial.name("group"), partitions(&topic, 4));
    let a = trial.join(&one, Join::new(&group, [&topic]))?;
    let b = trial.join(&other, Join::new(&group, [&topic]))?;
    trial.until("the partitions are divided", &[&a, &b], || divided(&[&a, &b], &all)).await?;
    let left = Instant::now();
    b.close();
    let has_all = || (a.state().partitions() == all).then_some(());
    trial.until("the other has them all", &[&a, &b], has_all).await?;
    let (took, session) = (left.elapsed(), trial.limits().session);
    holds(&format!("it took less than the session of {session:?}"), took < session, took)
}

async fn dying(trial: &Trial) -> Verdict {
    let (one, mortal) = (trial.client()?, trial.mortal()?);
    let topic = trial.topic(&one, "orphaned", 4).await?;
    let (group, all) = (trial.name("group"), partitions(&topic, 4));
    let a = trial.join(&one, Join::new(&group, [&topic]))?;
    let b = trial.join(&mortal.client, Join::new(&group, [&topic]))?;
    trial.until("the partitions are divided", &[&a, &b], || divided(&[&a, &b], &all)).await?;
    let died = Instant::now();
    b.kill(mortal.kill);
    let has_all = || (a.state().partitions() == all).then_some(());
    trial.until("the other has them all", &[&a], has_all).await?;
    let (took, session) = (died.elapsed(), trial.limits().session);
    // Sooner would mean that it had left after all: then this shows nothing.
    let after = took >= session / 2;
    holds(&format!("that took about the session of {session:?}"), after, took)?;
    send_to_each(trial, &one, &topic, 4, 0..5).await?;
    each_once(trial, &[&a], 4, 0..5).await
}
