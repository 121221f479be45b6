//! Topics: described, made, and whose time their records carry.

use std::slice;

use super::behaviour::{Failure, Verdict, declare, holds, same};
use super::trial::{Client, Trial, at, numbered, numbers_of};
use crate::clock::{Millis, millis};
use crate::error::ErrorClass;
use crate::event::TopicName;
use crate::transport::{NewTopic, Timestamp, TopicId, TopicProperty};

declare! { "topics":
    missing = "a topic that is not there is described as none",
    made = "a topic is made with the partitions that were asked for",
    in_order = "descriptions come in the order of the names",
    twice = "making a topic twice leaves it as it was",
    listed = "all topics are listed, by name",
    properties [TopicProperties] = "a topic is made with the properties and copies that were asked for, and says them",
    impossible [TopicProperties] = "a topic with a property that cannot be is not made, and is named",
    brokers [TopicProperties] = "the cluster says how many copies it can hold",
    ids [TopicIds] = "a topic says the same id to each client, another topic another one, a missing one none",
    anew [TopicIds, Deletion] = "a topic that was deleted and made anew has another id",
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
    let again = NewTopic { partitions: Some(5), ..NewTopic::new(name) };
    let made = other.admin().create(slice::from_ref(&again), trial.limits().patience).await;
    made.map_err(Failure::of("a topic is made a second time"))?;
    let found = trial.describe(&other, &topic).await?.map(|found| found.partitions);
    same("the partitions", Some(2), found)?;
    let read = trial.read(&other, &topic).await?;
    same("what lies on it", vec![7], numbers_of(&read, &at(&topic, 1)))
}

async fn listed(trial: &Trial) -> Verdict {
    let client = trial.client()?;
    let (b, a) =
        (trial.topic(&client, "listed-b", 1).await?, trial.topic(&client, "listed-a", 1).await?);
    let missing = trial.topic_name("missing")?;
    let all = client.admin().topics(trial.limits().patience).await;
    let mut all = all.map_err(Failure::of("topics are listed"))?;
    holds("the names are in order", all.is_sorted(), &all)?;
    all.retain(|name| [&a, &b, &missing].contains(&name));
    let mut made = vec![a, b];
    made.sort();
    same("those of this trial", made, all)
}

async fn properties(trial: &Trial) -> Verdict {
    let client = trial.client()?;
    let name = trial.topic_name("properties")?;
    let set = [("cleanup.policy", "compact"), ("max.message.bytes", "200000")];
    let new = NewTopic {
        partitions: Some(2),
        replication: Some(1),
        configuration: set.map(|(name, value)| (name.into(), value.into())).into(),
        ..NewTopic::new(name)
    };
    let found = trial.make(&client, new).await?;
    same("the copies", Some(1), found.replication)?;
    for (name, value) in set {
        let property = TopicProperty { value: value.into(), set: true };
        same(name, Some(&property), found.configuration.get(name))?;
    }
    let default = found.configuration.get("message.timestamp.type").map(|property| property.set);
    same("whether a property that was not set says that it is", Some(false), default)
}

async fn impossible(trial: &Trial) -> Verdict {
    let client = trial.client()?;
    let wrong = trial.topic_name("impossible")?;
    let new = NewTopic {
        partitions: Some(1),
        configuration: [("max.message.bytes".into(), "many".into())].into(),
        ..NewTopic::new(wrong.clone())
    };
    let made = client.admin().create(slice::from_ref(&new), trial.limits().patience).await;
    let Err(error) = made else { return holds("it is refused", false, "it was made") };
    let text = crate::error::chain(&error);
    holds("the error names the topic", text.contains(wrong.as_str()), &text)?;
    holds("no retry is asked for", error.class != ErrorClass::Retriable, error.class)?;
    same("the description", None, trial.describe(&client, &wrong).await?)
}

async fn brokers(trial: &Trial) -> Verdict {
    let client = trial.client()?;
    let brokers = client.admin().brokers(trial.limits().patience).await;
    let brokers = brokers.map_err(Failure::of("the brokers are counted"))?;
    let Some(brokers) = brokers.filter(|brokers| *brokers > 0) else {
        return holds("there is one at least", false, brokers);
    };
    let name = trial.topic_name("too-many-copies")?;
    let new = NewTopic {
        partitions: Some(1),
        replication: Some(brokers + 1),
        ..NewTopic::new(name.clone())
    };
    let made = client.admin().create(slice::from_ref(&new), trial.limits().patience).await;
    holds("more copies than brokers are refused", made.is_err(), brokers + 1)?;
    same("the description", None, trial.describe(&client, &name).await?)
}

async fn id_of(trial: &Trial, client: &Client, topic: &TopicName) -> Verdict<Option<TopicId>> {
    let id = client.admin().topic_id(topic, trial.limits().patience).await;
    id.map_err(Failure::of("a topic's id is asked for"))
}

async fn ids(trial: &Trial) -> Verdict {
    let (client, other) = (trial.client()?, trial.client()?);
    let missing = trial.topic_name("missing")?;
    same("the id of a topic that is missing", None, id_of(trial, &client, &missing).await?)?;
    let topic = trial.topic(&client, "ids", 1).await?;
    let id = id_of(trial, &client, &topic).await?;
    holds("a topic has an id", id.is_some(), &id)?;
    trial.send(&client, &numbered(&topic, 0, 1)).await?;
    for asked in [&client, &other] {
        same("its id", &id, &id_of(trial, asked, &topic).await?)?;
    }
    let second = trial.topic(&client, "second", 1).await?;
    let second = id_of(trial, &client, &second).await?;
    holds("another topic has another id", second.is_some() && second != id, (&id, &second))
}

async fn anew(trial: &Trial) -> Verdict {
    let (client, other) = (trial.client()?, trial.client()?);
    let topic = trial.topic(&client, "anew", 1).await?;
    let before = id_of(trial, &client, &topic).await?;
    holds("a topic has an id", before.is_some(), &before)?;
    trial.delete(&client, &topic).await?;
    same("the id of a topic that is gone", None, id_of(trial, &client, &topic).await?)?;
    let again = NewTopic { partitions: Some(1), ..NewTopic::new(topic.clone()) };
    trial.make(&client, again).await?;
    let after = id_of(trial, &client, &topic).await?;
    holds("the new one has another", after.is_some() && after != before, (&before, &after))?;
    same("its id, as another client is told", after, id_of(trial, &other, &topic).await?)
}

async fn append_time(trial: &Trial) -> Verdict {
    let client = trial.client()?;
    let topic = trial.topic_name("append-time")?;
    let new = NewTopic { partitions: Some(1), append_time: true, ..NewTopic::new(topic.clone()) };
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
