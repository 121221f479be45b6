//! `topics` and `topic show`.

use serde_json::{Value, json};

use super::connect::Session;
use super::error::CliError;
use super::out::Out;
use crate::error::aligned;
use crate::event::TopicName;
use crate::transport::{Position, TopicDescription, TopicId, TopicPartition};

fn property(topic: &TopicDescription, name: &str) -> Option<String> {
    topic.configuration.get(name).map(|property| property.value.clone())
}

fn or_unknown(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".into(), |value| value.to_string())
}

pub(super) async fn list(session: &Session, internal: bool, out: &mut Out) -> Result<(), CliError> {
    let admin = session.admin()?;
    let mut names = admin.topics(session.within()).await?;
    names.retain(|name| internal || !name.as_str().starts_with("__"));
    let found = admin.describe(&names, session.within()).await?;
    // One that was deleted in between is not there any more.
    let topics: Vec<_> =
        names.iter().zip(found).filter_map(|(name, topic)| Some((name, topic?))).collect();
    let rows = topics.iter().map(|(name, topic)| {
        [
            name.to_string(),
            topic.partitions.to_string(),
            or_unknown(topic.replication),
            or_unknown(property(topic, "cleanup.policy")),
            or_unknown(property(topic, "retention.ms")),
        ]
    });
    out.table(["TOPIC", "PARTITIONS", "REPLICATION", "CLEANUP", "RETENTION MS"], rows, || {
        let all = topics.iter().map(|(name, topic)| {
            json!({
                "topic": name.as_str(),
                "partitions": topic.partitions,
                "replication": topic.replication,
                "cleanup.policy": property(topic, "cleanup.policy"),
                "retention.ms": property(topic, "retention.ms"),
            })
        });
        Value::Array(all.collect())
    })
}

pub(super) async fn show(
    session: &Session,
    name: &TopicName,
    out: &mut Out,
) -> Result<(), CliError> {
    let admin = session.admin()?;
    let topic = session.topic(&*admin, name).await?;
    let places = |position| {
        let partition =
            move |partition| (TopicPartition { topic: name.clone(), partition }, position);
        (0..topic.partitions).map(partition).collect::<Vec<_>>()
    };
    let firsts = admin.offsets(&places(Position::Earliest), session.within()).await?;
    let ends = admin.offsets(&places(Position::Latest), session.within()).await?;
    let id = admin.topic_id(name, session.within()).await?;
    if out.is_json() {
        let partitions = firsts.iter().zip(&ends).enumerate();
        let partitions = partitions.map(|(partition, (first, end))| {
            json!({ "partition": partition, "first": first, "end": end })
        });
        let properties = topic.configuration.iter().map(|(name, property)| {
            (name.clone(), json!({ "value": property.value, "set": property.set }))
        });
        let document = json!({
            "topic": name.as_str(),
            "id": id.as_ref().map(TopicId::as_str),
            "replication": topic.replication,
            "partitions": partitions.collect::<Vec<_>>(),
            "configuration": Value::Object(properties.collect()),
        });
        return out.line(&format!("{document:#}"));
    }
    let id = id.map(|id| format!(", id {id}")).unwrap_or_default();
    out.line(&format!(
        "{name}: {} partitions, {} copies{id}\n",
        topic.partitions,
        or_unknown(topic.replication)
    ))?;
    let mut rows = vec![["PARTITION", "FIRST", "END"].map(str::to_owned)];
    rows.extend((0..topic.partitions).zip(firsts.iter().zip(&ends)).map(
        |(partition, (first, end))| [partition.to_string(), first.to_string(), end.to_string()],
    ));
    out.line(&aligned(&rows))?;
    let set = topic.configuration.iter().filter(|(_, property)| property.set);
    let set: Vec<_> = set.map(|(name, property)| [name.clone(), property.value.clone()]).collect();
    if set.is_empty() {
        return Ok(());
    }
    let mut rows = vec![["PROPERTY", "VALUE"].map(str::to_owned)];
    rows.extend(set);
    out.line(&format!("\n{}", aligned(&rows)))
}
