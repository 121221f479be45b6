//! Topics at start: looked at all at once, and made where that was asked for.

use std::time::Duration;

use tokio::time::Instant;

use super::{Admin, NewTopic, TopicDescription, TopicDifferences, TransportError};
use crate::error::ErrorClass;
use crate::event::{IntegrationEvent, TopicName, TopicSpec};

/// How long one look at the topics may take.
const LOOK: Duration = Duration::from_secs(10);
/// Between two tries while the broker does not answer.
const AGAIN: Duration = Duration::from_millis(500);

/// What is done about topics at start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum TopicSetup {
    /// All of them must be there, retry topics with as many partitions as their main topic, declared
    /// ones with the partitions and the cleanup policy that are declared; the start fails and names
    /// those that are not. Other differences to what is declared are logged, as a table.
    #[default]
    Verify,
    /// Those that are missing are made, all at once; the others are verified. One that is declared is
    /// made as it is declared.
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
    /// What is declared about it. `None`: it only has to be there.
    pub declared: Option<TopicSpec>,
}

impl TopicNeed {
    /// A topic that only has to be there.
    pub fn plain(name: TopicName) -> Self {
        Self { name, like: None, append_time: false, declared: None }
    }

    /// The topics of an event, as far as they are declared as they are declared.
    pub fn of<E: IntegrationEvent>() -> Vec<Self> {
        let declared = E::declared_topics().into_iter().map(Self::from);
        declared.chain(E::topics().into_iter().map(Self::plain)).collect()
    }
}

impl From<TopicName> for TopicNeed {
    fn from(name: TopicName) -> Self {
        Self::plain(name)
    }
}

impl From<TopicSpec> for TopicNeed {
    fn from(spec: TopicSpec) -> Self {
        Self { declared: Some(spec.clone()), ..Self::plain(spec.name().clone()) }
    }
}

/// Why topics are not as they must be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TopicsError {
    /// Some are missing or wrong. Nothing was changed.
    #[error("the topics are not as they must be: {}; create them, or start with `TopicSetup::Create`{}", problems.join("; "), differences.below())]
    NotAsNeeded {
        /// One sentence for each.
        problems: Vec<String>,
        /// Where they differ from what is declared.
        differences: TopicDifferences,
    },
    /// What is declared can never be.
    #[error("the topics cannot be as they are declared: {}", problems.join("; "))]
    Declared {
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
    let needs = &each_once(needs)?;
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

/// Each topic once, as it is declared where it is: two declarations of one must not differ.
fn each_once(needs: &[TopicNeed]) -> Result<Vec<TopicNeed>, TopicsError> {
    let mut each: Vec<TopicNeed> = Vec::with_capacity(needs.len());
    let mut problems = Vec::new();
    for need in needs {
        if let Some(Err(error)) = need.declared.as_ref().map(TopicSpec::validate) {
            problems.push(error.to_string());
        }
        let Some(known) = each.iter_mut().find(|known| known.name == need.name) else {
            each.push(need.clone());
            continue;
        };
        match (&known.declared, &need.declared) {
            (Some(one), Some(other)) if one != other => {
                problems.push(format!("{} is declared twice, and not alike", need.name));
            }
            (None, Some(_)) => known.declared.clone_from(&need.declared),
            _ => {}
        }
    }
    if let Some((one, other)) = TopicName::collision(each.iter().map(|need| &need.name)) {
        problems.push(format!(
            "{one} and {other} differ in `.` and `_` only, which brokers refuse; rename one"
        ));
    }
    if problems.is_empty() { Ok(each) } else { Err(TopicsError::Declared { problems }) }
}

async fn prepare(
    admin: &dyn Admin,
    wanted: &[TopicNeed],
    setup: TopicSetup,
    within: Duration,
) -> Result<(), TopicsError> {
    let copies = copies(admin, wanted, within).await?;
    if admin.makes_what_is_missing() {
        // Before it is looked for, which would make it otherwise than it is declared.
        let declared = wanted.iter().zip(&copies).filter(|(need, _)| need.declared.is_some());
        let declared: Vec<_> = declared.map(|(need, copies)| new_topic(need, *copies)).collect();
        admin.create(&declared, within).await?;
    }
    let mut found = look(admin, wanted, within).await?;
    if let TopicSetup::Create { partitions, replication } = setup {
        // Main topics first: a retry topic is made with as many partitions as its main topic has.
        for mains in [true, false] {
            let new: Vec<_> = (0..wanted.len())
                .filter(|index| found[*index].is_none())
                .filter(|index| wanted[*index].like.is_none() == mains)
                .map(|index| {
                    let new = new_topic(&wanted[index], copies[index]);
                    let like = wanted[index].like.as_ref();
                    let like = like.and_then(|main| partitions_of(wanted, &found, main));
                    NewTopic {
                        partitions: like.or(new.partitions).or(partitions),
                        replication: new.replication.or(replication),
                        ..new
                    }
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
    check(wanted, &found, &copies)
}

/// A topic as it is declared; what is not said is left to the broker.
fn new_topic(need: &TopicNeed, copies: Option<i32>) -> NewTopic {
    let declared = need.declared.as_ref();
    NewTopic {
        partitions: declared.and_then(|spec| spec.settings().partitions),
        replication: copies,
        append_time: need.append_time,
        configuration: declared.map(|spec| spec.configuration(copies)).unwrap_or_default(),
        ..NewTopic::new(need.name.clone())
    }
}

/// How many copies each declared topic has to have in this cluster.
async fn copies(
    admin: &dyn Admin,
    wanted: &[TopicNeed],
    within: Duration,
) -> Result<Vec<Option<i32>>, TopicsError> {
    if wanted.iter().all(|need| need.declared.is_none()) {
        return Ok(vec![None; wanted.len()]);
    }
    let brokers = admin.brokers(within).await?;
    let (mut copies, mut problems) = (Vec::new(), Vec::new());
    for need in wanted {
        match need.declared.as_ref().map_or(Ok(None), |spec| spec.copies(brokers)) {
            Ok(number) => copies.push(number),
            Err(error) => problems.push(error.to_string()),
        }
    }
    if problems.is_empty() { Ok(copies) } else { Err(TopicsError::Declared { problems }) }
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

fn check(
    wanted: &[TopicNeed],
    found: &[Option<TopicDescription>],
    copies: &[Option<i32>],
) -> Result<(), TopicsError> {
    let mut problems = Vec::new();
    let mut differences = TopicDifferences::default();
    for ((topic, is), copies) in wanted.iter().zip(found).zip(copies) {
        let Some(is) = is else {
            problems.push(format!("{} is not there", topic.name));
            continue;
        };
        problems.extend(differences.compare(topic, is, *copies));
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
    if !problems.is_empty() {
        return Err(TopicsError::NotAsNeeded { problems, differences });
    }
    if !differences.is_empty() {
        tracing::warn!(
            "topics differ from what is declared, and stay as they are{}",
            differences.below()
        );
    }
    Ok(())
}
