//! Commits: what is done, and where the next one begins.

use std::time::Duration;

use super::behaviour::{Failure, Verdict, declare, holds, same};
use super::groups::{divided, partitions};
use super::member::{Join, Member, OnRevoke};
use super::trial::{Client, Trial, at, numbered, numbers_of, run_of};
use crate::event::TopicName;
use crate::transport::{Offsets, TopicPartition};

declare! { "commits":
    answered = "a commit is answered with what was asked for",
    goes_on = "a new member starts at the committed offset",
    not_committed = "what is not committed is read again",
    revoke [Rebalance] = "a revoke waits for its reply and commits what it says",
    no_answer [Rebalance] = "a reply that does not come is waited for no longer than was said, and commits nothing",
    dropped [Rebalance] = "a reply that is dropped commits nothing",
    late [Rebalance] = "a commit of a partition that was revoked never moves its new owner's",
}

/// How long the revoke of a member that gives no reply waits.
const SHORT: Duration = Duration::from_millis(500);

fn of(member: &Member, partition: &TopicPartition) -> Vec<usize> {
    numbers_of(&member.state().records, partition)
}

/// Commits, and waits for the answer to it.
async fn commit(trial: &Trial, member: &Member, offsets: Offsets) -> Verdict<Result<(), String>> {
    let before = member.state().commits.len();
    member.control().commit(offsets);
    trial
        .until("a commit is answered", &[member], || {
            member.state().commits.get(before).map(|(_, result)| result.clone())
        })
        .await
}

/// Closes a member and waits until it has left.
async fn leave(trial: &Trial, member: Member) -> Verdict {
    member.close();
    trial.until("a member has left", &[&member], || member.has_left().then_some(())).await
}

/// A topic with ten records on each partition.
async fn filled(trial: &Trial, client: &Client, count: i32) -> Verdict<TopicName> {
    let topic = trial.topic(client, "topic", count).await?;
    for partition in 0..count {
        trial.send_all(client, &run_of(&topic, partition, 0..10)).await?;
    }
    Ok(topic)
}

async fn read_all(trial: &Trial, member: &Member, count: usize) -> Verdict {
    let all = || (member.state().records.len() == 10 * count).then_some(());
    trial.until("all is read", &[member], all).await
}

async fn answered(trial: &Trial) -> Verdict {
    let client = trial.client()?;
    let topic = filled(trial, &client, 2).await?;
    let member = trial.join(&client, Join::new(trial.name("group"), [&topic]))?;
    read_all(trial, &member, 2).await?;
    let asked = vec![(at(&topic, 0), 3), (at(&topic, 1), 10)];
    commit(trial, &member, asked.clone()).await?.map_err(Failure::new)?;
    let mut said = member.state().commits[0].0.clone();
    said.sort();
    same("the answered offsets", asked, said)
}

async fn goes_on(trial: &Trial) -> Verdict {
    let client = trial.client()?;
    let topic = filled(trial, &client, 2).await?;
    let group = trial.name("group");
    let first = trial.join(&client, Join::new(&group, [&topic]))?;
    read_all(trial, &first, 2).await?;
    let (zero, one) = (at(&topic, 0), at(&topic, 1));
    let offsets = vec![(zero.clone(), 3), (one.clone(), 10)];
    commit(trial, &first, offsets).await?.map_err(Failure::new)?;
    leave(trial, first).await?;
    let second = trial.join(&client, Join::new(&group, [&topic]))?;
    trial.send(&client, &numbered(&topic, 1, 10)).await?;
    trial
        .until("the rest is read", &[&second], || {
            (of(&second, &zero).len() >= 7 && !of(&second, &one).is_empty()).then_some(())
        })
        .await?;
    same("what is read of the first partition", (3..10).collect(), of(&second, &zero))?;
    same("what is read of the second partition", vec![10], of(&second, &one))?;
    let known: Vec<_> = second.state().owned.values().flatten().copied().collect();
    let told = known.is_empty() || known == [3, 10];
    holds("the committed offsets are told truly or not at all", told, known)
}

async fn not_committed(trial: &Trial) -> Verdict {
    let client = trial.client()?;
    let topic = filled(trial, &client, 1).await?;
    let group = trial.name("group");
    for _ in 0..2 {
        let member = trial.join(&client, Join::new(&group, [&topic]))?;
        read_all(trial, &member, 1).await?;
        same("what is read", (0..10).collect(), of(&member, &at(&topic, 0)))?;
        leave(trial, member).await?;
    }
    Ok(())
}

/// A member that has read all of a group's two partitions.
async fn owner(
    trial: &Trial,
    on_revoke: OnRevoke,
    revoke_wait: Option<Duration>,
) -> Verdict<(Join, TopicName, Member)> {
    let client = trial.client()?;
    let topic = filled(trial, &client, 2).await?;
    let mut join = Join::new(trial.name("group"), [&topic]).on_revoke(on_revoke);
    if let Some(wait) = revoke_wait {
        join = join.revoke_wait(wait);
    }
    let next = Join::new(&join.subscription.group, [&topic]);
    let member = trial.join(&client, join)?;
    read_all(trial, &member, 2).await?;
    Ok((next, topic, member))
}

/// Such a member, and another one that waits for what it has to give up.
async fn taken_from(
    trial: &Trial,
    on_revoke: OnRevoke,
    revoke_wait: Option<Duration>,
) -> Verdict<(TopicName, Member, Member)> {
    let (next, topic, a) = owner(trial, on_revoke, revoke_wait).await?;
    let b = trial.join(&trial.client()?, next)?;
    Ok((topic, a, b))
}

/// The partition that the second member was given, and what it read first of it.
async fn first_read(trial: &Trial, member: &Member) -> Verdict<(TopicPartition, usize)> {
    trial
        .until("the new owner reads", &[member], || {
            let partition = member.state().owned.keys().next().cloned()?;
            let first = of(member, &partition).first().copied()?;
            Some((partition, first))
        })
        .await
}

async fn revoke(trial: &Trial) -> Verdict {
    let mut refusals = 0;
    while let Err(why) = revoke_once(trial).await? {
        if refusals == trial.limits().refusals {
            let what = "expected that the broker takes the commit of a revoke, seen";
            return Err(Failure::new(format!("{what} {refusals} times before and now: {why}")));
        }
        refusals += 1;
    }
    Ok(())
}

/// What was answered to the commit; where it was taken, the new owner has begun there.
async fn revoke_once(trial: &Trial) -> Verdict<Result<(), String>> {
    let ((_, a, b), (next, _, c)) = futures::try_join!(
        taken_from(trial, OnRevoke::Hold, None),
        owner(trial, OnRevoke::Release, None),
    )?;
    let asked = || (!a.state().held.is_empty()).then_some(());
    trial.until("something is taken from the first member", &[&a, &b], asked).await?;
    let taken: Vec<_> = a.state().held.iter().flat_map(|(held, _)| held.clone()).collect();
    // While another group goes through all of it: a transport that did not wait would have given them
    // away by then.
    let d = trial.join(&trial.client()?, next)?;
    trial
        .until("another group's are given away", &[&c, &d], || {
            (!d.state().partitions().is_empty()).then_some(())
        })
        .await?;
    let early = b.state().partitions();
    holds("nobody else has them before the reply", early.is_empty(), early)?;
    a.release(|_| Some(5));
    let answer = || a.state().commits.first().map(|(_, result)| result.clone());
    let answer = trial.until("the commit is answered", &[&a, &b], answer).await?;
    if answer.is_err() {
        return Ok(answer);
    }
    let (partition, first) = first_read(trial, &b).await?;
    holds("the new owner has what was taken", taken.contains(&partition), &partition)?;
    same("where the new owner begins", 5, first)?;
    Ok(Ok(()))
}

async fn no_answer(trial: &Trial) -> Verdict {
    let (_, _a, b) = taken_from(trial, OnRevoke::Hold, Some(SHORT)).await?;
    let (_, first) = first_read(trial, &b).await?;
    same("where the new owner begins", 0, first)
}

async fn dropped(trial: &Trial) -> Verdict {
    let (topic, a, b) = taken_from(trial, OnRevoke::Drop, None).await?;
    let all = partitions(&topic, 2);
    trial.until("the partitions are divided", &[&a, &b], || divided(&[&a, &b], &all)).await?;
    let (_, first) = first_read(trial, &b).await?;
    same("where the new owner begins", 0, first)
}

async fn late(trial: &Trial) -> Verdict {
    let (topic, a, b) = taken_from(trial, OnRevoke::CommitRead, None).await?;
    let all = partitions(&topic, 2);
    trial.until("the partitions are divided", &[&a, &b], || divided(&[&a, &b], &all)).await?;
    let moved = b.state().owned.keys().next().cloned();
    let Some(moved) = moved else { return holds("the second member has one", false, ()) };
    let client = trial.client()?;
    trial.send_all(&client, &run_of(&topic, moved.partition, 10..20)).await?;
    let read = || (of(&b, &moved).len() >= 10).then_some(());
    trial.until("the new owner has read on", &[&a, &b], read).await?;
    commit(trial, &b, vec![(moved.clone(), 15)]).await?.map_err(Failure::new)?;
    // The old owner has not heard of it, and says what it did long ago.
    let answer = commit(trial, &a, vec![(moved.clone(), 3)]).await?;
    // A member that goes reads no more of its own, and commits nothing.
    let before = of(&a, &moved).len();
    leave(trial, b).await?;
    let again = || of(&a, &moved).get(before).copied();
    let first = trial.until("the first member has it again", &[&a], again).await?;
    same(&format!("where it goes on, after a late commit that was answered {answer:?}"), 15, first)
}
