//! Retry tiers and dead letters, through a consumer.

use super::behaviour::{Failure, Verdict, declare, holds, same};
use super::event::{Answer, Happened, Notes, Ran, consume, fine, publish, stop, two_tiers};
use super::trial::Trial;
use crate::consumer::HandlerError;
use crate::event::{Headers, TopicName, header};

declare! { "tiers":
    through_tiers [Followers] = "a failed event goes through its tiers in order, never early, and ends as a dead letter",
    dead_letter [Followers] = "a dead letter is the event byte for byte, with the headers that say what became of it",
    recovers [Followers] = "an event that succeeds on a tier is done, also for the next consumer",
    other_groups [Followers] = "a group's retries and handlers are none of another group's business",
}

/// Brokers cut times to whole milliseconds: a due time may be up to one earlier than the truth at
/// each of two clocks.
const CUT: std::time::Duration = std::time::Duration::from_millis(2);

/// A topic beside a main topic, as the default naming has it.
pub(super) fn beside(topic: &TopicName, suffix: &str) -> Verdict<TopicName> {
    TopicName::new(format!("{topic}.{suffix}")).map_err(Failure::of("a topic's name"))
}

/// Fails unless the headers of `before` lead those of `after`, byte for byte, and all others are those
/// that a failure writes.
pub(super) fn kept(before: &Headers, after: &Headers) -> Verdict {
    let (before, after): (Vec<_>, Vec<_>) = (before.iter().collect(), after.iter().collect());
    let (own, added) = after.split_at(before.len().min(after.len()));
    same("the record's own headers", &before[..], own)?;
    let ours = |name: &[u8]| header::FAILURE.iter().any(|ours| ours.as_bytes() == name);
    let strange: Vec<_> = added.iter().filter(|(name, _)| !ours(name)).collect();
    holds("only headers that say what failed are added", strange.is_empty(), strange)
}

fn fails(_: &Ran) -> Answer {
    Box::pin(std::future::ready(Err(HandlerError::transient("not now"))))
}

async fn through_tiers(trial: &Trial) -> Verdict {
    let client = trial.client()?;
    let (topic, group, notes) =
        (trial.topic_name("events")?, trial.name("group"), Notes::new(trial));
    let (policy, tiers) = two_tiers(trial);
    let running = consume(trial, &client, (&group, &topic), policy, &notes, fails).await?;
    let events = (0..5).map(|n| Happened::new(&topic, &format!("key-{n}"), n)).collect();
    let published = publish(&client, events).await?;
    let counts = running.status().counts();
    let dead = || (counts.dead_lettered() == 5).then_some(());
    trial.until("all are dead letters", &[], dead).await?;
    stop(trial, running).await?;
    let topics = [
        topic.clone(),
        beside(&topic, &format!("retry.{}", name(tiers[0])))?,
        beside(&topic, &format!("retry.{}", name(tiers[1])))?,
    ];
    for (n, published) in published.iter().enumerate() {
        let ran: Vec<_> = notes.all().into_iter().filter(|ran| ran.n == n).collect();
        let partition = published.delivered.partition;
        let expected = (1..).zip(&topics).map(|(attempt, topic)| (attempt, topic, partition));
        let seen = ran.iter().map(|ran| (ran.attempt, &ran.record.topic, ran.record.partition));
        let what = "attempts, topics and partitions of an event";
        same(what, expected.collect::<Vec<_>>(), seen.collect())?;
        for (between, tier) in ran.windows(2).zip(tiers) {
            let waited = between[1].at - between[0].at;
            let what = format!("an event waits for its tier of {tier:?}");
            holds(&what, waited + CUT >= tier, waited)?;
        }
    }
    Ok(())
}

/// A tier's name, as the default naming has it.
fn name(tier: std::time::Duration) -> String {
    crate::retry::Tier::new(tier).map_or_else(|error| error.to_string(), |tier| tier.to_string())
}

async fn dead_letter(trial: &Trial) -> Verdict {
    let client = trial.client()?;
    let (topic, group, notes) =
        (trial.topic_name("events")?, trial.name("group"), Notes::new(trial));
    let (policy, _) = two_tiers(trial);
    let running = consume(trial, &client, (&group, &topic), policy, &notes, fails).await?;
    let published = publish(&client, vec![Happened::new(&topic, "key", 1)]).await?;
    let lies = &published[0].delivered;
    let counts = running.status().counts();
    let dead = || (counts.dead_lettered() == 1).then_some(());
    trial.until("it is a dead letter", &[], dead).await?;
    stop(trial, running).await?;
    let before = trial.read(&client, &topic).await?;
    let after = trial.read(&client, &beside(&topic, "dlq")?).await?;
    same("records on both topics", (1, 1), (before.len(), after.len()))?;
    let (before, after) = (&before[0], &after[0]);
    same("the key", &before.key, &after.key)?;
    same("the payload", &before.payload, &after.payload)?;
    kept(&before.headers, &after.headers)?;
    for (name, expected) in [
        (header::RETRY_GROUP, group.clone()),
        (header::RETRY_HANDLER, "notes".to_owned()),
        (header::RETRY_ATTEMPT, "3".to_owned()),
        (header::ORIGIN_TOPIC, topic.as_str().to_owned()),
        (header::ORIGIN_PARTITION, lies.partition.to_string()),
        (header::ORIGIN_OFFSET, lies.offset.to_string()),
        (header::ERROR_KIND, "transient".to_owned()),
        (header::ERROR_MESSAGE, "not now".to_owned()),
    ] {
        same(name, Some(&*expected), after.headers.get_str(name))?;
    }
    let time = |name| after.headers.get_str(name).and_then(|text| text.parse::<i64>().ok());
    let (first, last) = (time(header::FIRST_FAILED_AT), time(header::LAST_FAILED_AT));
    holds("it failed first before it failed last", first.is_some() && first <= last, (first, last))
}

async fn recovers(trial: &Trial) -> Verdict {
    let client = trial.client()?;
    let (topic, group, notes) =
        (trial.topic_name("events")?, trial.name("group"), Notes::new(trial));
    let policy = || two_tiers(trial).0;
    let at = (&*group, &topic);
    let running = consume(trial, &client, at, policy(), &notes, |ran| match ran.attempt {
        1 => fails(ran),
        _ => fine(ran),
    })
    .await?;
    let events = (0..5).map(|n| Happened::new(&topic, "key", n)).collect();
    publish(&client, events).await?;
    let counts = running.status().counts();
    let handled = || (counts.handled() == 5).then_some(());
    trial.until("all are handled", &[], handled).await?;
    same("dead letters", 0, counts.dead_lettered())?;
    stop(trial, running).await?;
    let again = Notes::new(trial);
    let running = consume(trial, &client, at, policy(), &again, fine).await?;
    publish(&client, vec![Happened::new(&topic, "key", 5)]).await?;
    let new = || again.numbers().contains(&5).then_some(());
    trial.until("a new event is handled", &[], new).await?;
    stop(trial, running).await?;
    same("what the next consumer handles", vec![5], again.numbers())
}

async fn other_groups(trial: &Trial) -> Verdict {
    let (one, other) = (trial.client()?, trial.client()?);
    let topic = trial.topic_name("events")?;
    let (failing, fine_notes) = (Notes::new(trial), Notes::new(trial));
    let (a, b) = (trial.name("a"), trial.name("b"));
    let policy = || two_tiers(trial).0;
    let first = consume(trial, &one, (&a, &topic), policy(), &failing, fails).await?;
    let second = consume(trial, &other, (&b, &topic), policy(), &fine_notes, fine).await?;
    publish(&one, vec![Happened::new(&topic, "key", 0), Happened::new(&topic, "key", 1)]).await?;
    let counts = first.status().counts();
    let dead = || (counts.dead_lettered() == 2).then_some(());
    trial.until("they are dead letters of one group", &[], dead).await?;
    let counts = second.status().counts();
    // Two events on two tiers, which the other group reads as well.
    let skipped = || (counts.skipped() == 4).then_some(());
    trial.until("the other group has passed over the retries", &[], skipped).await?;
    stop(trial, first).await?;
    stop(trial, second).await?;
    same("what the other group handled", vec![0, 1], fine_notes.numbers())
}
