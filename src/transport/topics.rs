//! Topics at start: looked at all at once, and made where that was asked for.

use std::time::Duration;

use tokio::time::Instant;

use super::{Admin, NewTopic, TopicDescription, TransportError};
use crate::error::ErrorClass;
use crate::event::TopicName;

/// How long one look at the topics may take.
const LOOK: Duration = Duration::from_secs(10);
/// Between two tries while the broker does not answer.
const AGAIN: Duration = Duration::from_millis(500);

/// What is done about topics at start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum TopicSetup {
    /// All of them must be there, retry topics with as many partitions as their main topic; the
    /// start fails and names those that are not.
    #[default]
    Verify,
    /// Those that are missing are made, all at once; the others are verified.
    Create {
        /// Partitions of a main topic that is missing; `None` is the broker's default.
        partitions: Option<i32>,
        /// Copies of each; `None` is the broker's default.
        replication: Option<i32>,
    },
    /// Nothing is looked at.
    Off,
}

/// What a topic has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicNeed {
    /// Its name.
    pub name: TopicName,
    /// The topic that it must have at least as many partitions as.
    pub like: Option<TopicName>,
    /// A retry topic, whose due times count from the broker's append.
    pub append_time: bool,
}

impl TopicNeed {
    /// A topic that only has to be there.
    pub fn plain(name: TopicName) -> Self {
        Self { name, like: None, append_time: false }
    }
}

/// Why topics are not as they must be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TopicsError {
    /// Some are missing or wrong.
    #[error("the topics are not as they must be: {}; create them, or start with `TopicSetup::Create`", problems.join("; "))]
    NotAsNeeded {
        /// One sentence for each.
        problems: Vec<String>,
    },
    /// The broker did not answer, or refused.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

impl TopicsError {
    /// Whether the same look may succeed later.
    pub fn is_retriable(&self) -> bool {
        matches!(self, Self::Transport(error) if error.class == ErrorClass::Retriable)
    }
}

/// Verifies topics, and makes those that are missing where that is asked for. While the broker does
/// not answer it goes on trying, for `within`.
///
/// # Errors
/// When a topic is missing or wrong, or the broker refuses or stays away.
pub async fn prepare_topics(
    admin: &dyn Admin,
    needs: &[TopicNeed],
    setup: TopicSetup,
    within: Duration,
) -> Result<(), TopicsError> {
    if setup == TopicSetup::Off {
        return Ok(());
    }
    let deadline = Instant::now() + within;
    loop {
        match prepare(admin, needs, setup, LOOK.min(within)).await {
            Err(error) if error.is_retriable() && Instant::now() < deadline => {
                tracing::warn!(
                    error = crate::error::chain(&error),
                    "the broker does not answer yet"
                );
                tokio::time::sleep(AGAIN).await;
            }
            Err(TopicsError::Transport(error)) if error.class == ErrorClass::Retriable => {
                return Err(TopicsError::Transport(TransportError {
                    what: format!("topics could not be looked at for {within:?}"),
                    class: error.class,
                    source: Some(error.into()),
                }));
            }
            result => return result,
        }
    }
}

async fn prepare(
    admin: &dyn Admin,
    wanted: &[TopicNeed],
    setup: TopicSetup,
    within: Duration,
) -> Result<(), TopicsError> {
    let mut found = look(admin, wanted, within).await?;
    if let TopicSetup::Create { partitions, replication } = setup {
        // Main topics first: a retry topic is made with as many partitions as its main topic has.
        for mains in [true, false] {
            let new: Vec<_> = (0..wanted.len())
                .filter(|index| found[*index].is_none())
                .filter(|index| wanted[*index].like.is_none() == mains)
                .map(|index| NewTopic {
                    name: wanted[index].name.clone(),
                    partitions: match &wanted[index].like {
                        None => partitions,
                        Some(main) => partitions_of(wanted, &found, main).or(partitions),
                    },
                    replication,
                    append_time: wanted[index].append_time,
                })
                .collect();
            if !new.is_empty() {
                let names: Vec<_> = new.iter().map(|topic| topic.name.as_str()).collect();
                tracing::info!(topics = names.join(" "), "creating topics");
                admin.create(&new, within).await?;
                found = look_until_there(admin, wanted, &new, within).await?;
            }
        }
    }
    check(wanted, &found)
}

async fn look(
    admin: &dyn Admin,
    wanted: &[TopicNeed],
    within: Duration,
) -> Result<Vec<Option<TopicDescription>>, TopicsError> {
    let names: Vec<_> = wanted.iter().map(|topic| topic.name.clone()).collect();
    Ok(admin.describe(&names, within).await?)
}

/// A topic is there a moment after the broker has said that it made it.
async fn look_until_there(
    admin: &dyn Admin,
    wanted: &[TopicNeed],
    new: &[NewTopic],
    within: Duration,
) -> Result<Vec<Option<TopicDescription>>, TopicsError> {
    let deadline = Instant::now() + within;
    loop {
        let found = look(admin, wanted, within).await?;
        let there = |topic: &NewTopic| {
            wanted
                .iter()
                .zip(&found)
                .any(|(wanted, found)| wanted.name == topic.name && found.is_some())
        };
        if new.iter().all(there) || Instant::now() > deadline {
            return Ok(found);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn partitions_of(
    wanted: &[TopicNeed],
    found: &[Option<TopicDescription>],
    name: &TopicName,
) -> Option<i32> {
    let at = wanted.iter().position(|topic| topic.name == *name)?;
    found[at].as_ref().map(|topic| topic.partitions)
}

fn check(wanted: &[TopicNeed], found: &[Option<TopicDescription>]) -> Result<(), TopicsError> {
    let mut problems = Vec::new();
    for (topic, is) in wanted.iter().zip(found) {
        let Some(is) = is else {
            problems.push(format!("{} is not there", topic.name));
            continue;
        };
        if let Some(main) = &topic.like
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
    if problems.is_empty() { Ok(()) } else { Err(TopicsError::NotAsNeeded { problems }) }
}
