//! What is wrong with topics, and what to do about it.

use std::collections::BTreeSet;

use crate::event::TopicName;

/// What is wrong with a topic.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TopicProblem {
    /// It is missing.
    #[error("{0} is not there")]
    Missing(TopicName),
    /// It has fewer partitions than are declared.
    #[error("{topic} has {is} partitions and {declared} are declared")]
    FewerThanDeclared {
        /// Which topic.
        topic: TopicName,
        /// How many it has.
        is: i32,
        /// How many it should have.
        declared: i32,
    },
    /// It is a retry topic and has fewer partitions than its main topic, whose partitions it follows one by one.
    #[error(
        "{topic} has {is} partitions and {main} has {needed}; a retry topic needs as many as its main topic"
    )]
    FewerThanMain {
        /// Which topic.
        topic: TopicName,
        /// How many it has.
        is: i32,
        /// Its main topic.
        main: TopicName,
        /// How many that has, or would be made with.
        needed: i32,
    },
    /// It deletes what it should keep, or keeps what it should delete.
    #[error("{topic} has cleanup.policy {is} and {declared} is declared")]
    Cleanup {
        /// Which topic.
        topic: TopicName,
        /// What it has.
        is: String,
        /// What it should have.
        declared: String,
    },
}

impl TopicProblem {
    /// Which topic it is about.
    pub fn topic(&self) -> &TopicName {
        match self {
            Self::Missing(topic)
            | Self::FewerThanDeclared { topic, .. }
            | Self::FewerThanMain { topic, .. }
            | Self::Cleanup { topic, .. } => topic,
        }
    }

    /// What to do about it.
    pub fn advice(&self) -> String {
        let add = |topic, partitions: &i32| {
            format!(
                "`kafka-topics --alter --topic {topic} --partitions {partitions}` adds the missing ones"
            )
        };
        match self {
            Self::Missing(_) => {
                "create what is missing: `create-topics` of the service's own command line does, or a start with \
                 `TopicSetup::Create`"
                    .into()
            }
            Self::FewerThanDeclared { topic, declared, .. } => format!(
                "{}, and keys move to other partitions, so that order holds among what was sent before and among what is \
                 sent after it; let what is there be read first",
                add(topic, declared)
            ),
            Self::FewerThanMain { topic, needed, .. } => {
                format!("{}, and no key moves: retries stay in their event's partition", add(topic, needed))
            }
            Self::Cleanup { topic, declared, .. } => format!(
                "`kafka-configs --alter --entity-type topics --entity-name {topic} --add-config \
                 cleanup.policy={declared}` changes it, if no other service counts on it; what was removed does not come \
                 back"
            ),
        }
    }
}

/// The problems, each with what to do about it; the same advice is given once.
pub(crate) fn advised(problems: &[TopicProblem]) -> String {
    let advice: BTreeSet<_> = problems.iter().map(TopicProblem::advice).collect();
    let with = |advice: String| {
        let of = problems.iter().filter(|problem| problem.advice() == advice);
        let all: Vec<_> = of.map(ToString::to_string).collect();
        format!("{} ({advice})", all.join("; "))
    };
    advice.into_iter().map(with).collect::<Vec<_>>().join("; ")
}
