//! Where topics differ from what is declared, as a table.

use std::fmt;

use super::problems::TopicProblem;
use super::{TopicDescription, TopicNeed};
use crate::error::aligned;
use crate::event::{Replication, TopicName};

/// The property whose difference loses records that somebody counts on.
const CLEANUP: &str = "cleanup.policy";

/// Where a topic differs from what is declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicDifference {
    /// Which topic.
    pub topic: TopicName,
    /// `partitions`, `replication`, or a property by the broker's name.
    pub setting: String,
    /// What is declared.
    pub declared: String,
    /// What it is.
    pub is: String,
}

/// Where topics differ from what is declared. Displayed as a table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TopicDifferences(pub Vec<TopicDifference>);

impl TopicDifferences {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The table on lines of its own, below a sentence; nothing where there is none.
    pub(super) fn below(&self) -> String {
        if self.is_empty() { String::new() } else { format!("\n{self}") }
    }

    /// Notes where a topic differs; answers what cannot be lived with.
    pub(crate) fn compare(
        &mut self,
        need: &TopicNeed,
        is: &TopicDescription,
        copies: Option<i32>,
    ) -> Vec<TopicProblem> {
        let Some(spec) = &need.declared else { return Vec::new() };
        let mut problems = Vec::new();
        let mut note = |setting: &str, declared: &str, found: &str| {
            self.0.push(TopicDifference {
                topic: need.name.clone(),
                setting: setting.into(),
                declared: declared.into(),
                is: found.into(),
            });
        };
        let settings = spec.settings();
        // How many a retry topic needs, its main topic says.
        if let Some(declared) = settings.partitions.filter(|_| need.like.is_none())
            && declared != is.partitions
        {
            note("partitions", &declared.to_string(), &is.partitions.to_string());
            if is.partitions < declared {
                problems.push(TopicProblem::FewerThanDeclared {
                    topic: need.name.clone(),
                    is: is.partitions,
                    declared,
                });
            }
        }
        // Copies that may be as many as there can be are never wrong.
        let automatic = settings.replication == Some(Replication::Auto);
        if let (Some(declared), Some(found), false) = (copies, is.replication, automatic)
            && declared != found
        {
            note("replication", &declared.to_string(), &found.to_string());
        }
        for (name, declared) in spec.configuration(copies) {
            let found = match is.configuration.get(&name) {
                Some(found) if found.value == declared => continue,
                Some(found) => found.value.as_str(),
                // A broker that says nothing is not compared with.
                None if is.configuration.is_empty() => continue,
                None => "(unknown)",
            };
            if automatic && name == "min.insync.replicas" {
                continue;
            }
            note(&name, &declared, found);
            if name == CLEANUP {
                problems.push(TopicProblem::Cleanup {
                    topic: need.name.clone(),
                    is: found.into(),
                    declared,
                });
            }
        }
        problems
    }
}

impl fmt::Display for TopicDifferences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = vec![["topic", "setting", "declared", "is"].map(str::to_owned)];
        rows.extend(self.0.iter().map(|difference| {
            let TopicDifference { topic, setting, declared, is } = difference.clone();
            [topic.to_string(), setting, declared, is]
        }));
        f.write_str(&aligned(&rows))
    }
}
