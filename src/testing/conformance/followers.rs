//! Topics whose partitions follow those of another one.

use std::collections::BTreeSet;

use super::behaviour::{Verdict, declare, same};
use super::groups::{divided, partitions};
use super::member::{Join, Member};
use super::trial::{Client, Trial, at, numbers_of, run_of};
use crate::event::TopicName;
use crate::transport::TopicPartition;

declare! { "followers":
    together [Followers] = "a follower's partitions come with their leader's, and are read",
    over_members [Followers, Rebalance] = "a follower's partitions go where their leader's go when members join and leave",
    from_beginning [Followers, StartAtLatest] = "a follower without a committed offset is read from its beginning, even where groups begin at the end",
    committed [Followers] = "a follower goes on at its committed offset",
    ends [Followers] = "who asks for it is told each partition's end behind its records, and again behind more, be it a leader's or a follower's",
}

/// A topic and another one that follows it.
async fn pair(trial: &Trial, client: &Client, count: i32) -> Verdict<(TopicName, TopicName)> {
    let leader = trial.topic(client, "leader", count).await?;
    Ok((leader, trial.topic(client, "follower", count).await?))
}

async fn together(trial: &Trial) -> Verdict {
    let client = trial.client()?;
    let (leader, follower) = pair(trial, &client, 2).await?;
    let join = Join::new(trial.name("group"), [&leader]).follower(&follower, &leader);
    let member = trial.join(&client, join)?;
    for partition in 0..2 {
        trial.send_all(&client, &run_of(&leader, partition, 0..5)).await?;
        trial.send_all(&client, &run_of(&follower, partition, 0..5)).await?;
    }
    let all: BTreeSet<_> = &partitions(&leader, 2) | &partitions(&follower, 2);
    trial
        .until("both topics are owned and read", &[&member], || {
            let state = member.state();
            (state.partitions() == all && state.records.len() >= 20).then_some(())
        })
        .await?;
    for partition in all {
        let read = numbers_of(&member.state().records, &partition);
        same(&format!("what was read of {partition}"), (0..5).collect(), read)?;
    }
    Ok(())
}

/// Fails unless a member's follower partitions are those of its leader partitions.
fn follow(member: &Member, leader: &TopicName, follower: &TopicName) -> Verdict {
    let owned = member.state().partitions();
    let of = |topic: &TopicName| -> BTreeSet<_> {
        owned.iter().filter(|owned| owned.topic == *topic).map(|owned| owned.partition).collect()
    };
    same("the follower's partitions", of(leader), of(follower))
}

async fn over_members(trial: &Trial) -> Verdict {
    let (one, other) = (trial.client()?, trial.client()?);
    let (leader, follower) = pair(trial, &one, 4).await?;
    let all: BTreeSet<_> = &partitions(&leader, 4) | &partitions(&follower, 4);
    let group = trial.name("group");
    let join = || Join::new(&group, [&leader]).follower(&follower, &leader);
    let a = trial.join(&one, join())?;
    let has_all = |member: &Member| (member.state().partitions() == all).then_some(());
    trial.until("the first has them all", &[&a], || has_all(&a)).await?;
    let b = trial.join(&other, join())?;
    trial.until("the partitions are divided", &[&a, &b], || divided(&[&a, &b], &all)).await?;
    follow(&a, &leader, &follower)?;
    follow(&b, &leader, &follower)?;
    for partition in 0..4 {
        trial.send_all(&one, &run_of(&follower, partition, 0..5)).await?;
    }
    trial
        .until("the follower is read", &[&a, &b], || {
            (a.state().records.len() + b.state().records.len() >= 20).then_some(())
        })
        .await?;
    for member in [&a, &b] {
        let owned = member.state().partitions();
        for partition in owned.range(at(&follower, 0)..=at(&follower, 3)) {
            let read = numbers_of(&member.state().records, partition);
            same(&format!("what its owner read of {partition}"), (0..5).collect(), read)?;
        }
    }
    a.close();
    trial.until("the second has them all", &[&b], || has_all(&b)).await
}

async fn from_beginning(trial: &Trial) -> Verdict {
    let client = trial.client_at_latest()?;
    let (leader, follower) = pair(trial, &client, 1).await?;
    trial.send_all(&client, &run_of(&leader, 0, 0..5)).await?;
    trial.send_all(&client, &run_of(&follower, 0, 0..5)).await?;
    let join = Join::new(trial.name("group"), [&leader]).follower(&follower, &leader);
    let member = trial.join(&client, join)?;
    let of = |topic: &TopicName| numbers_of(&member.state().records, &at(topic, 0));
    trial
        .until("the follower is read from its beginning", &[&member], || {
            (of(&follower).len() >= 5).then_some(())
        })
        .await?;
    same("what was read of the follower", (0..5).collect(), of(&follower))?;
    // The leader goes on from where it was when the group began, so one of these is the first.
    let mut sent = 5;
    trial
        .until("the leader is read from then on", &[&member], || {
            (!member.state().owned.is_empty()).then_some(())
        })
        .await?;
    while of(&leader).is_empty() && sent < 500 {
        trial.send(&client, &run_of(&leader, 0, sent..sent + 1)[0]).await?;
        sent += 1;
    }
    let arrived = || of(&leader).first().copied();
    let first = trial.until("the leader is read", &[&member], arrived).await?;
    super::behaviour::holds("what was there before is not read", first >= 5, first)
}

async fn committed(trial: &Trial) -> Verdict {
    let client = trial.client()?;
    let (leader, follower) = pair(trial, &client, 1).await?;
    trial.send_all(&client, &run_of(&follower, 0, 0..10)).await?;
    let group = trial.name("group");
    let join = || Join::new(&group, [&leader]).follower(&follower, &leader);
    let first = trial.join(&client, join())?;
    let of = |member: &Member| numbers_of(&member.state().records, &at(&follower, 0));
    trial.until("it is read", &[&first], || (of(&first).len() == 10).then_some(())).await?;
    first.control().commit(vec![(at(&follower, 0), 4)]);
    trial
        .until("the commit is answered", &[&first], || {
            first.state().commits.first().map(|(_, result)| result.clone())
        })
        .await?
        .map_err(super::behaviour::Failure::new)?;
    first.close();
    trial.until("it has left", &[&first], || first.has_left().then_some(())).await?;
    let second = trial.join(&client, join())?;
    trial.until("the rest is read", &[&second], || (of(&second).len() >= 6).then_some(())).await?;
    same("what the next member reads", (4..10).collect(), of(&second))
}

async fn ends(trial: &Trial) -> Verdict {
    let client = trial.client()?;
    let (leader, follower) = pair(trial, &client, 2).await?;
    let all: BTreeSet<_> = &partitions(&leader, 2) | &partitions(&follower, 2);
    for partition in 0..2 {
        trial.send_all(&client, &run_of(&leader, partition, 0..5)).await?;
    }
    trial.send_all(&client, &run_of(&follower, 1, 0..3)).await?;
    let join = || Join::new(trial.name("group"), [&leader]).follower(&follower, &leader);
    let member = trial.join(&client, join().ends())?;
    let told = |partition: &TopicPartition, read| {
        let state = member.state();
        state.ends.iter().any(|(end, at)| end == partition && *at == read).then_some(())
    };
    let each = || {
        let ends: BTreeSet<_> = member.state().ends.iter().map(|(p, _)| p.clone()).collect();
        (ends == all).then_some(())
    };
    trial.until("each end is told", &[&member], each).await?;
    for partition in 0..2 {
        let read = if partition == 1 { 3 } else { 0 };
        for (end, read) in [(at(&leader, partition), 5), (at(&follower, partition), read)] {
            let told: Vec<_> =
                member.state().ends.iter().filter(|(p, _)| *p == end).cloned().collect();
            same("the first end that was told", Some(&(end, read)), told.first())?;
        }
    }
    for (topic, partition, from, read) in [(&follower, 0, 0, 1), (&leader, 1, 5, 6)] {
        trial.send_all(&client, &run_of(topic, partition, from..from + 1)).await?;
        let end = at(topic, partition);
        trial.until("the end behind one more", &[&member], || told(&end, read)).await?;
    }
    let unasked = trial.join(&client, join())?;
    let read = || (unasked.state().records.len() >= 15).then_some(());
    trial.until("all is read once more", &[&unasked], read).await?;
    same("ends that nobody asked for", 0, unasked.state().ends.len())
}
