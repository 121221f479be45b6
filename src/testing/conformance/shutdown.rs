//! Closing: what is flushed, what is reported, and what comes after.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::behaviour::{Verdict, declare, holds, same};
use super::groups::partitions;
use super::member::Join;
use super::trial::{Trial, at, numbered, numbers_of, run_of};
use crate::event::EventId;
use crate::transport::{ProduceError, Receipt};

declare! { "shutdown":
    flushes = "closing a producer sends what is queued",
    reports = "closing a producer without time answers the ids of exactly those that were not delivered",
    closed = "a closed producer settles what comes later as closed",
    twice = "closing a producer again answers nothing",
    leaves = "a closed member's events end, after its last revoke",
    deserted [Rebalance] = "a member whose events nobody reads any more leaves its group",
}

async fn flushes(trial: &Trial) -> Verdict {
    let client = trial.client()?;
    let topic = trial.topic(&client, "flushed", 1).await?;
    let mut answers = Vec::new();
    for record in run_of(&topic, 0, 0..500) {
        answers.push(trial.enqueue(&client, &record).await?);
    }
    let left = client.producer().close(trial.limits().patience).await;
    same("ids that were not delivered", Vec::<EventId>::new(), left)?;
    for answer in answers {
        let outcome = trial.outcome(answer).await?;
        holds("each is acknowledged", outcome.is_ok(), &outcome)?;
    }
    let read = trial.read(&trial.client()?, &topic).await?;
    same("what lies on the topic", (0..500).collect(), numbers_of(&read, &at(&topic, 0)))
}

async fn reports(trial: &Trial) -> Verdict {
    let client = trial.client()?;
    let topic = trial.topic(&client, "reported", 1).await?;
    let mut answers = Vec::new();
    for record in run_of(&topic, 0, 0..2_000) {
        let id = EventId::new();
        let (receipt, answer) = Receipt::one(Some(id.clone()), Arc::default());
        trial.enqueue_with(&client, &record, receipt).await?;
        answers.push((id.to_string(), answer));
    }
    let left = client.producer().close(Duration::ZERO).await;
    let reported: BTreeSet<_> = left.iter().map(ToString::to_string).collect();
    same("how many ids are reported twice", 0, left.len() - reported.len())?;
    let mut failed = BTreeSet::new();
    for (id, answer) in answers {
        if trial.outcome(answer).await?.is_err() {
            failed.insert(id);
        }
    }
    let (missing, extra) = (&failed - &reported, &reported - &failed);
    same("ids that failed and are not reported", BTreeSet::new(), missing)?;
    same("ids that are reported and were delivered", BTreeSet::new(), extra)
}

async fn closed(trial: &Trial) -> Verdict {
    let client = trial.client()?;
    let topic = trial.topic(&client, "closed", 1).await?;
    trial.send(&client, &numbered(&topic, 0, 0)).await?;
    client.producer().close(trial.limits().patience).await;
    let answer = trial.enqueue(&client, &numbered(&topic, 0, 1)).await?;
    same("the later record's outcome", Err(ProduceError::Closed), trial.outcome(answer).await?)?;
    let read = trial.read(&trial.client()?, &topic).await?;
    same("what lies on the topic", vec![0], numbers_of(&read, &at(&topic, 0)))
}

async fn twice(trial: &Trial) -> Verdict {
    let client = trial.client()?;
    let topic = trial.topic(&client, "twice", 1).await?;
    for record in run_of(&topic, 0, 0..100) {
        trial.enqueue(&client, &record).await?;
    }
    client.producer().close(Duration::ZERO).await;
    let again = client.producer().close(Duration::ZERO).await;
    same("the second answer", Vec::<EventId>::new(), again)
}

async fn leaves(trial: &Trial) -> Verdict {
    let client = trial.client()?;
    let topic = trial.topic(&client, "left", 2).await?;
    let member = trial.join(&client, Join::new(trial.name("group"), [&topic]))?;
    let all = partitions(&topic, 2);
    let has_all = || (member.state().partitions() == all).then_some(());
    trial.until("both partitions are owned", &[&member], has_all).await?;
    member.close();
    trial.until("its events end", &[&member], || member.has_left().then_some(())).await?;
    same("what was not revoked", BTreeSet::new(), member.state().partitions())
}

async fn deserted(trial: &Trial) -> Verdict {
    let (one, other) = (trial.client()?, trial.client()?);
    let topic = trial.topic(&one, "deserted", 2).await?;
    let (group, all) = (trial.name("group"), partitions(&topic, 2));
    let a = trial.join(&one, Join::new(&group, [&topic]))?;
    let owned = || (a.state().partitions() == all).then_some(());
    trial.until("both partitions are owned", &[&a], owned).await?;
    a.kill(|| ());
    let b = trial.join(&other, Join::new(&group, [&topic]))?;
    trial
        .until("the next member has them", &[&b], || (b.state().partitions() == all).then_some(()))
        .await
}
