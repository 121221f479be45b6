//! Consumers: handled, kept in order, and committed when they stop.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;

use super::behaviour::{Verdict, declare, holds, same};
use super::event::{Happened, Notes, consume, fine, publish, stop};
use super::trial::{Trial, numbered};
use crate::event::header;
use crate::retry::RetryPolicy;

declare! { "consumers":
    handled = "published events are handled once, and those of a key in their order",
    stop_commits = "a graceful stop commits all that is done",
    unfinished = "what a stop leaves unfinished is handled again by the next consumer",
    undecodable = "a record that cannot be read goes to quarantine byte for byte, and others go on",
    permanent = "a permanent failure is a dead letter at once",
}

async fn handled(trial: &Trial) -> Verdict {
    let (client, other) = (trial.client()?, trial.client()?);
    let (topic, group, notes) =
        (trial.topic_name("events")?, trial.name("group"), Notes::new(trial));
    let none = RetryPolicy::none();
    let running = consume(trial, &client, (&group, &topic), none, &notes, fine).await?;
    let events = (0..100).map(|n| Happened::new(&topic, &format!("key-{}", n % 7), n));
    publish(&other, events.collect()).await?;
    trial.until("all are handled", &[], || (notes.len() >= 100).then_some(())).await?;
    stop(trial, running).await?;
    let mut by_key: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for ran in notes.all() {
        by_key.entry(ran.key).or_default().push(ran.n);
    }
    let expected = |key: usize| (format!("key-{key}"), (key..100).step_by(7).collect());
    same("what was handled of each key", (0..7).map(expected).collect(), by_key)
}

async fn stop_commits(trial: &Trial) -> Verdict {
    let client = trial.client()?;
    let (topic, group, notes) =
        (trial.topic_name("events")?, trial.name("group"), Notes::new(trial));
    for round in 0..3 {
        let none = RetryPolicy::none();
        let running = consume(trial, &client, (&group, &topic), none, &notes, fine).await?;
        let events = (10 * round..10 * (round + 1)).map(|n| Happened::new(&topic, "key", n));
        publish(&client, events.collect()).await?;
        let all = || (notes.len() >= 10 * (round + 1)).then_some(());
        trial.until("all are handled", &[], all).await?;
        stop(trial, running).await?;
    }
    same("what was handled over three starts", (0..30).collect(), notes.numbers())
}

async fn unfinished(trial: &Trial) -> Verdict {
    let client = trial.client()?;
    let (topic, group, notes) =
        (trial.topic_name("events")?, trial.name("group"), Notes::new(trial));
    let (at, none) = ((&*group, &topic), RetryPolicy::none());
    let running = consume(trial, &client, at, none.clone(), &notes, |ran| match ran.n {
        5 => Box::pin(std::future::pending()),
        _ => fine(ran),
    })
    .await?;
    let events = (0..10).map(|n| Happened::new(&topic, &format!("key-{}", n % 5), n)).collect();
    publish(&client, events).await?;
    let hangs = || notes.numbers().contains(&5).then_some(());
    trial.until("one event hangs", &[], hangs).await?;
    let report = running.stop(Duration::from_millis(100)).await;
    same("how many events are reported as unfinished", 1, report.unfinished.len())?;
    let again = Notes::new(trial);
    let running = consume(trial, &client, at, none, &again, fine).await?;
    let hung = || again.numbers().contains(&5).then_some(());
    trial.until("the next consumer handles it", &[], hung).await?;
    let done = || {
        let (first, second) = (notes.numbers(), again.numbers());
        let both: BTreeSet<_> = first.iter().chain(&second).copied().collect();
        (both.len() == 10).then_some(())
    };
    trial.until("every event is handled", &[], done).await?;
    stop(trial, running).await
}

async fn undecodable(trial: &Trial) -> Verdict {
    let client = trial.client()?;
    let (topic, group, notes) =
        (trial.topic_name("events")?, trial.name("group"), Notes::new(trial));
    let none = RetryPolicy::none();
    let running = consume(trial, &client, (&group, &topic), none, &notes, fine).await?;
    let mut record = numbered(&topic, 1, 0);
    record.key = Some(Bytes::from_static(b"\xfe\x00key"));
    record.payload = Some(Bytes::from_static(b"\xff\x00{ no json"));
    record.headers.push("b", b"\xff\xfe");
    record.headers.push("a", "");
    record.headers.push("b", "2");
    let lies = trial.send(&client, &record).await?;
    publish(&client, vec![Happened::new(&topic, "key", 1)]).await?;
    trial.until("an event behind it is handled", &[], || (notes.len() == 1).then_some(())).await?;
    let counts = || (running.status().counts().quarantined() == 1).then_some(());
    trial.until("it is put in quarantine", &[], counts).await?;
    stop(trial, running).await?;
    let quarantine = super::tiers::beside(&topic, "quarantine")?;
    let read = trial.read(&client, &quarantine).await?;
    same("records in quarantine", 1, read.len())?;
    let read = &read[0];
    same("the key", &record.key, &read.key)?;
    same("the payload", &record.payload, &read.payload)?;
    super::tiers::kept(&record.headers, &read.headers)?;
    for (name, expected) in [
        (header::ORIGIN_TOPIC, topic.as_str().to_owned()),
        (header::ORIGIN_PARTITION, "1".to_owned()),
        (header::ORIGIN_OFFSET, lies.offset.to_string()),
        (header::ERROR_KIND, "undecodable".to_owned()),
    ] {
        same(name, Some(&*expected), read.headers.get_str(name))?;
    }
    Ok(())
}

async fn permanent(trial: &Trial) -> Verdict {
    let client = trial.client()?;
    let (topic, group, notes) =
        (trial.topic_name("events")?, trial.name("group"), Notes::new(trial));
    let (policy, _) = super::event::two_tiers(trial);
    let running = consume(trial, &client, (&group, &topic), policy, &notes, |ran| match ran.n {
        1 => Box::pin(std::future::ready(Err(crate::consumer::HandlerError::permanent("never")))),
        _ => fine(ran),
    })
    .await?;
    let events = (0..3).map(|n| Happened::new(&topic, "key", n)).collect();
    publish(&client, events).await?;
    let counts = running.status().counts();
    let done = || (counts.dead_lettered() == 1 && counts.handled() == 2).then_some(());
    trial.until("one is a dead letter and two are handled", &[], done).await?;
    stop(trial, running).await?;
    same("the calls", vec![0, 1, 2], notes.numbers())?;
    let read = trial.read(&client, &super::tiers::beside(&topic, "dlq")?).await?;
    let kinds: Vec<_> = read.iter().map(|read| read.headers.get_str(header::ERROR_KIND)).collect();
    same("the dead letters' kinds", vec![Some("permanent")], kinds)?;
    let handlers = notes.all().iter().filter(|ran| ran.attempt != 1).count();
    holds("no call was a retry", handlers == 0, handlers)
}
