//! Topics: described, made, and whose time their records carry.

use std::slice;

use super::behaviour::{Failure, Verdict, declare, holds, same};
use super::trial::{Trial, at, numbered, numbers_of};
use crate::clock::{Millis, millis};
use crate::transport::{NewTopic, Timestamp};

declare! { "topics":
    missing = "a topic that is not there is described as none",
    made = "a topic is made with the partitions that were asked for",
    in_order = "descriptions come in the order of the names",
    twice = "making a topic twice leaves it as it was",
    append_time [AppendTime] = "a topic that keeps append time says so, and its records carry it",
    producer_time [ProducerTime] = "another topic's records carry the producer's time",
}

/// How far a broker's clock may be from what the client knows of it.
const CLOCKS: Millis = 60_000;

async fn missing(trial: &Trial) -> Verdict {
    let client = trial.client()?;
    let name = trial.topic_name("missing")?;
    same("the description", None, trial.describe(&client, &name).await?)?;
    // Asking must not have made it.
    same("the second description", None, trial.describe(&client, &name).await?)
}

async fn made(trial: &Trial) -> Verdict {
    let client = trial.client()?;
    for partitions in [1, 5] {
        let topic = trial.topic(&client, "made", partitions).await?;
        let found = trial.describe(&client, &topic).await?.map(|found| found.partitions);
        same("the partitions", Some(partitions), found)?;
    }
    Ok(())
}

async fn in_order(trial: &Trial) -> Verdict {
    let client = trial.client()?;
    let missing = trial.topic_name("missing")?;
    let (two, three) =
        (trial.topic(&client, "two", 2).await?, trial.topic(&client, "three", 3).await?);
    let names = [three.clone(), missing, two, three];
    let found = client.admin().describe(&names, trial.limits().patience).await;
    let found = found.map_err(Failure::of("topics are described"))?;
    let partitions = found.iter().map(|found| found.as_ref().map(|found| found.partitions));
    same("the partitions", vec![Some(3), None, Some(2), Some(3)], partitions.collect())
}

async fn twice(trial: &Trial) -> Verdict {
    let client = trial.client()?;
    let topic = trial.topic(&client, "twice", 2).await?;
    trial.send(&client, &numbered(&topic, 1, 7)).await?;
    let (other, name) = (trial.client()?, topic.clone());
    let again = NewTopic { name, partitions: Some(5), replication: None, append_time: false };
    let made = other.admin().create(slice::from_ref(&again), trial.limits().patience).await;
    made.map_err(Failure::of("a topic is made a second time"))?;
    let found = trial.describe(&other, &topic).await?.map(|found| found.partitions);
    same("the partitions", Some(2), found)?;
    let read = trial.read(&other, &topic).await?;
    same("what lies on it", vec![7], numbers_of(&read, &at(&topic, 1)))
}

async fn append_time(trial: &Trial) -> Verdict {
    let client = trial.client()?;
    let topic = trial.topic_name("append-time")?;
    let new =
        NewTopic { name: topic.clone(), partitions: Some(1), replication: None, append_time: true };
    let found = trial.make(&client, new).await?;
    same("whether it says that it keeps append time", Some(true), found.append_time)?;
    let mut record = numbered(&topic, 0, 1);
    let said = client.clock().now() - 3_600_000;
    record.timestamp = Some(said);
    let lies = trial.send(&client, &record).await?;
    let read = trial.read(&client, &topic).await?;
    same("records on the topic", 1, read.len())?;
    let Some(Timestamp::Appended(appended)) = read[0].timestamp else {
        return holds("it carries the append's time", false, read[0].timestamp);
    };
    same("the time of the acknowledgement", Some(appended), lies.appended_at)?;
    let waited = millis(trial.limits().behaviour);
    let near = (appended - client.clock().now()).abs() < CLOCKS + waited;
    holds("the time is the append's, whatever the producer said", near, (said, appended))
}

async fn producer_time(trial: &Trial) -> Verdict {
    let client = trial.client()?;
    let topic = trial.topic(&client, "producer-time", 1).await?;
    let mut record = numbered(&topic, 0, 1);
    let said = client.clock().now() - 3_600_000;
    record.timestamp = Some(said);
    let lies = trial.send(&client, &record).await?;
    let read = trial.read(&client, &topic).await?;
    same("records on the topic", 1, read.len())?;
    same("the time", Some(Timestamp::Created(said)), read[0].timestamp)?;
    same("an append time of the acknowledgement", None, lies.appended_at)
}
