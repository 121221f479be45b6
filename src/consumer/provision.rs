//! Topics at start: looked at all at once, and made where that was asked for.

use std::time::Duration;

use super::StartError;
use super::plan::Topics;
use super::settings::TopicSetup;
use crate::event::TopicName;
use crate::transport::{Admin, NewTopic, TopicDescription};

/// What each topic has to be.
struct Wanted<'a> {
    name: &'a TopicName,
    /// The main topic that it must have as many partitions as.
    like: Option<&'a TopicName>,
    /// A retry topic, whose due times count from the broker's append.
    append_time: bool,
}

pub(super) async fn provision(
    admin: &dyn Admin,
    topics: &Topics,
    setup: TopicSetup,
    within: Duration,
) -> Result<(), StartError> {
    let wanted = wanted(topics);
    let mut found = look(admin, &wanted, within).await?;
    if let TopicSetup::Create { partitions, replication } = setup {
        // Main topics first: a retry topic is made with as many partitions as its main topic has.
        for mains in [true, false] {
            let new: Vec<_> = (0..wanted.len())
                .filter(|index| found[*index].is_none())
                .filter(|index| wanted[*index].like.is_none() == mains)
                .map(|index| NewTopic {
                    name: wanted[index].name.clone(),
                    partitions: match wanted[index].like {
                        None => partitions,
                        Some(main) => partitions_of(&wanted, &found, main).or(partitions),
                    },
                    replication,
                    append_time: wanted[index].append_time,
                })
                .collect();
            if !new.is_empty() {
                let names: Vec<_> = new.iter().map(|topic| topic.name.as_str()).collect();
                tracing::info!(topics = names.join(" "), "creating topics");
                admin.create(&new, within).await?;
                found = look_until_there(admin, &wanted, &new, within).await?;
            }
        }
    }
    check(&wanted, &found)
}

fn wanted(topics: &Topics) -> Vec<Wanted<'_>> {
    let mut wanted = Vec::new();
    for main in topics.mains() {
        let plain = |name| Wanted { name, like: None, append_time: false };
        wanted.push(plain(&main.name));
        wanted.extend(main.around.dead_letter.iter().map(plain));
        wanted.push(plain(&main.around.quarantine));
        let tiers = main.around.tiers.iter();
        wanted.extend(tiers.map(|(_, name)| Wanted {
            name,
            like: Some(&main.name),
            append_time: true,
        }));
    }
    wanted
}

async fn look(
    admin: &dyn Admin,
    wanted: &[Wanted<'_>],
    within: Duration,
) -> Result<Vec<Option<TopicDescription>>, StartError> {
    let names: Vec<_> = wanted.iter().map(|topic| topic.name.clone()).collect();
    Ok(admin.describe(&names, within).await?)
}

/// A topic is there a moment after the broker has said that it made it.
async fn look_until_there(
    admin: &dyn Admin,
    wanted: &[Wanted<'_>],
    new: &[NewTopic],
    within: Duration,
) -> Result<Vec<Option<TopicDescription>>, StartError> {
    let deadline = tokio::time::Instant::now() + within;
    loop {
        let found = look(admin, wanted, within).await?;
        let there = |topic: &NewTopic| {
            wanted
                .iter()
                .zip(&found)
                .any(|(wanted, found)| *wanted.name == topic.name && found.is_some())
        };
        if new.iter().all(there) || tokio::time::Instant::now() > deadline {
            return Ok(found);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn partitions_of(
    wanted: &[Wanted<'_>],
    found: &[Option<TopicDescription>],
    name: &TopicName,
) -> Option<i32> {
    let at = wanted.iter().position(|topic| topic.name == name)?;
    found[at].as_ref().map(|topic| topic.partitions)
}

fn check(wanted: &[Wanted<'_>], found: &[Option<TopicDescription>]) -> Result<(), StartError> {
    let mut problems = Vec::new();
    for (topic, is) in wanted.iter().zip(found) {
        let Some(is) = is else {
            problems.push(format!("{} is not there", topic.name));
            continue;
        };
        if let Some(main) = topic.like
            && let Some(needed) = partitions_of(wanted, found, main)
            && is.partitions < needed
        {
            problems.push(format!(
                "{} has {} partitions and {main} has {needed}; a retry topic needs as many as its main topic",
                topic.name, is.partitions
            ));
        }
        if topic.append_time && is.append_time == Some(false) {
            tracing::warn!(
                topic = %topic.name,
                "this retry topic keeps its producers' time; due times are less exact than with message.timestamp.type=LogAppendTime"
            );
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(StartError::Topics { problems }) }
}
