//! Pause and resume.

use super::behaviour::{Failure, Verdict, declare, holds, same};
use super::groups::{divided, partitions};
use super::member::{Join, Member};
use super::trial::{Client, Trial, at, numbered, numbers_of};
use crate::event::TopicName;

declare! { "pauses":
    quiet = "a paused partition delivers nothing, and goes on without gap or repeat when it is resumed",
    at_once = "a pause of a partition that already delivers takes effect",
    not_ours = "a pause of a partition that is not owned does no harm",
    ends [Rebalance] = "a pause ends when its partition is revoked: it delivers to whoever gets it next, the same member too",
}

/// How many records the other partition delivers meanwhile.
const MEANWHILE: usize = 20;

fn of(member: &Member, topic: &TopicName, partition: i32) -> Vec<usize> {
    numbers_of(&member.state().records, &at(topic, partition))
}

/// Waits until everything that the member was told so far is carried out: a commit is answered behind it.
async fn settled(trial: &Trial, member: &Member, topic: &TopicName) -> Verdict {
    let before = member.state().commits.len();
    member.control().commit(vec![(at(topic, 1), 0)]);
    trial
        .until("a commit is answered", &[member], || {
            member.state().commits.get(before).map(|(_, result)| result.clone())
        })
        .await?
        .map_err(Failure::new)
}

/// Sends to both partitions and waits for each record of the second one.
async fn meanwhile(
    trial: &Trial,
    client: &Client,
    member: &Member,
    topic: &TopicName,
    first: usize,
) -> Verdict {
    for n in first..first + MEANWHILE {
        trial.send(client, &numbered(topic, 0, n)).await?;
        trial.send(client, &numbered(topic, 1, n)).await?;
        let goes_on = || of(member, topic, 1).contains(&n).then_some(());
        trial.until("the other partition goes on", &[member], goes_on).await?;
    }
    Ok(())
}

async fn quiet(trial: &Trial) -> Verdict {
    let client = trial.client()?;
    let topic = trial.topic(&client, "quiet", 2).await?;
    let member = trial.join(&client, Join::new(trial.name("group"), [&topic]))?;
    let both = || (member.state().owned.len() == 2).then_some(());
    trial.until("both partitions are owned", &[&member], both).await?;
    let mut sent = 0;
    for _ in 0..2 {
        let before = of(&member, &topic, 0);
        member.control().pause(vec![at(&topic, 0)]);
        settled(trial, &member, &topic).await?;
        meanwhile(trial, &client, &member, &topic, sent).await?;
        sent += MEANWHILE;
        same("what the paused partition delivered", before, of(&member, &topic, 0))?;
        member.control().resume(vec![at(&topic, 0)]);
        let all = || (of(&member, &topic, 0).len() >= sent).then_some(());
        trial.until("the rest is delivered", &[&member], all).await?;
    }
    same("what was delivered in all", (0..sent).collect(), of(&member, &topic, 0))
}

async fn at_once(trial: &Trial) -> Verdict {
    let client = trial.client()?;
    let topic = trial.topic(&client, "at-once", 2).await?;
    let member = trial.join(&client, Join::new(trial.name("group"), [&topic]))?;
    meanwhile(trial, &client, &member, &topic, 0).await?;
    let first = || (of(&member, &topic, 0).len() == MEANWHILE).then_some(());
    trial.until("both deliver", &[&member], first).await?;
    member.control().pause(vec![at(&topic, 0)]);
    settled(trial, &member, &topic).await?;
    meanwhile(trial, &client, &member, &topic, MEANWHILE).await?;
    same("what the paused partition delivered", (0..MEANWHILE).collect(), of(&member, &topic, 0))?;
    member.control().resume(vec![at(&topic, 0)]);
    let all = || (of(&member, &topic, 0).len() >= 2 * MEANWHILE).then_some(());
    trial.until("the rest is delivered", &[&member], all).await?;
    same("what was delivered in all", (0..2 * MEANWHILE).collect(), of(&member, &topic, 0))
}

async fn not_ours(trial: &Trial) -> Verdict {
    let client = trial.client()?;
    let topic = trial.topic(&client, "owned", 2).await?;
    let other = trial.topic(&client, "other", 1).await?;
    let member = trial.join(&client, Join::new(trial.name("group"), [&topic]))?;
    let both = || (member.state().owned.len() == 2).then_some(());
    trial.until("both partitions are owned", &[&member], both).await?;
    member.control().pause(vec![at(&other, 0), at(&topic, 9)]);
    settled(trial, &member, &topic).await?;
    meanwhile(trial, &client, &member, &topic, 0).await?;
    member.control().resume(vec![at(&other, 0), at(&topic, 9)]);
    settled(trial, &member, &topic).await?;
    meanwhile(trial, &client, &member, &topic, MEANWHILE).await?;
    holds("the member is there", !member.has_left(), "one that has left")
}

async fn ends(trial: &Trial) -> Verdict {
    let (one, other) = (trial.client()?, trial.client()?);
    let topic = trial.topic(&one, "ends", 2).await?;
    let (group, all) = (trial.name("group"), partitions(&topic, 2));
    let pauses = trial.join(&one, Join::new(&group, [&topic]))?;
    let has_all = || (pauses.state().partitions() == all).then_some(());
    trial.until("both partitions are owned", &[&pauses], has_all).await?;
    pauses.control().pause(all.iter().cloned().collect());
    settled(trial, &pauses, &topic).await?;
    let comes = trial.join(&other, Join::new(&group, [&topic]))?;
    let both = [&pauses, &comes];
    trial.until("the partitions are divided", &both, || divided(&both, &all)).await?;
    let moved = comes.state().partitions().into_iter().next().expect("it has one").partition;
    // Too late: it is not this member's any more.
    pauses.control().pause(vec![at(&topic, moved)]);
    trial.send(&one, &numbered(&topic, moved, 0)).await?;
    let read = |member: &Member, n| of(member, &topic, moved).contains(&n).then_some(());
    trial.until("its next owner reads it", &both, || read(&comes, 0)).await?;
    comes.close();
    trial.until("the first member has both again", &both, has_all).await?;
    trial.send(&one, &numbered(&topic, moved, 1)).await?;
    trial.until("it reads the one that it had paused", &[&pauses], || read(&pauses, 1)).await
}
