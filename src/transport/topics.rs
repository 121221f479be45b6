//! Topics at start: looked at all at once, and made where that was asked for.

use std::time::Duration;

use tokio::time::Instant;

use super::look::{Compared, Look};
use super::problems::{TopicProblem, advised};
use super::{Admin, TopicDifferences, TransportError};
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
    /// Those that are there are verified; where nothing is wrong with them, those that are missing are made, all at
    /// once. One that is declared is made as it is declared.
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
    /// Some are missing or wrong. Nothing was changed: what is there is looked at before anything is made.
    #[error("the topics are not as they must be: {}{}", advised(problems), differences.below())]
    NotAsNeeded {
        /// What is wrong, topic by topic.
        problems: Vec<TopicProblem>,
        /// Where they differ from what is declared.
        differences: TopicDifferences,
    },
    /// Nothing was wrong, some were made, and then they were not as they must be: the broker's own default has too
    /// many partitions for a retry topic that was there, or somebody else made one in the meantime.
    #[error(
        "{} made, and the topics are not as they must be: {}{}",
        made.iter().map(TopicName::as_str).collect::<Vec<_>>().join(" "), advised(problems), differences.below()
    )]
    NotAsMade {
        /// What was made.
        made: Vec<TopicName>,
        /// What is wrong, topic by topic.
        problems: Vec<TopicProblem>,
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

/// Verifies topics, and makes those that are missing where that is asked for and nothing that is there is wrong.
/// While the broker does not answer it goes on trying, for `within`.
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
    needs: &[TopicNeed],
    setup: TopicSetup,
    within: Duration,
) -> Result<(), TopicsError> {
    let mut look = Look::at(admin, needs, within).await?;
    let missing = look.to_be_made(admin, setup)?;
    let mut compared = look.compare(setup);
    if !missing.is_empty() {
        look.make(admin, setup, within).await?;
        compared = look.compare(setup);
        compared.problems.extend(look.missing());
        if !compared.problems.is_empty() {
            let Compared { problems, differences } = compared;
            return Err(TopicsError::NotAsMade { made: missing, problems, differences });
        }
    }
    look.warn(&compared.differences);
    Ok(())
}
