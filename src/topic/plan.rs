//! All topics that a consumer needs beside a main topic.

use super::naming::{InvalidNaming, TopicNaming};
use crate::event::{InvalidTopicName, TopicName};
use crate::retry::{InvalidRetryPolicy, RetryPolicy, Tier};

/// All topics that a consumer needs for one main topic.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicPlan {
    /// The topic that events are published to.
    pub main: TopicName,
    /// The retry topics, shortest delay first.
    pub tiers: Vec<(Tier, TopicName)>,
    /// Where dead letters go; `None` where the policy has none.
    pub dead_letter: Option<TopicName>,
    /// Where records go that could not be read.
    pub quarantine: TopicName,
}

impl TopicPlan {
    /// Plans the topics of a group for a main topic.
    ///
    /// # Errors
    /// When the policy or the naming cannot work, or a name would be too long.
    pub fn of(
        main: &TopicName,
        group: &str,
        policy: &RetryPolicy,
        naming: &TopicNaming,
    ) -> Result<Self, InvalidPlan> {
        policy.validate()?;
        naming.validate()?;
        let tiers = policy
            .tiers
            .iter()
            .map(|tier| Ok((*tier, naming.retry_topic(main, tier, group)?)))
            .collect::<Result<_, InvalidTopicName>>()?;
        let dead_letter =
            policy.dead_letter.then(|| naming.dead_letter_topic(main, group)).transpose()?;
        let quarantine = naming.quarantine_topic(main, group)?;
        Ok(Self { main: main.clone(), tiers, dead_letter, quarantine })
    }

    /// Every topic of the plan, the main one first.
    pub fn topics(&self) -> impl Iterator<Item = &TopicName> {
        std::iter::once(&self.main)
            .chain(self.tiers.iter().map(|(_, topic)| topic))
            .chain(&self.dead_letter)
            .chain([&self.quarantine])
    }
}

/// Why the topics of a consumer cannot be planned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPlan {
    /// The retry policy cannot work.
    #[error(transparent)]
    Policy(#[from] InvalidRetryPolicy),
    /// The naming cannot work.
    #[error(transparent)]
    Naming(#[from] InvalidNaming),
    /// One of the names is too long.
    #[error(transparent)]
    Name(#[from] InvalidTopicName),
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MAIN: TopicName = TopicName::from_static("orders.placed");

    fn plan(policy: &RetryPolicy) -> Result<TopicPlan, InvalidPlan> {
        TopicPlan::of(&MAIN, "mail", policy, &TopicNaming::default())
    }

    #[test]
    fn a_plan_holds_every_topic_of_the_consumer() {
        let plan = plan(&RetryPolicy::default()).unwrap();
        let names: Vec<_> = plan.topics().map(TopicName::as_str).collect();
        assert_eq!(
            names,
            [
                "orders.placed",
                "orders.placed.retry.5s",
                "orders.placed.retry.1m",
                "orders.placed.retry.10m",
                "orders.placed.dlq",
                "orders.placed.quarantine"
            ]
        );
        assert_eq!(plan.tiers[1].0.delay(), Duration::from_secs(60));
    }

    #[test]
    fn without_dead_letters_there_is_no_topic_for_them() {
        let plan = plan(&RetryPolicy::none().dead_letter(false)).unwrap();
        assert_eq!((plan.tiers.len(), plan.dead_letter), (0, None));
    }

    #[test]
    fn what_cannot_work_is_not_planned() {
        let long = TopicName::new("x".repeat(249)).unwrap();
        let naming = TopicNaming::default();
        let policy = RetryPolicy::default();
        assert!(matches!(plan(&RetryPolicy::tiers([Duration::ZERO])), Err(InvalidPlan::Policy(_))));
        assert!(matches!(TopicPlan::of(&long, "g", &policy, &naming), Err(InvalidPlan::Name(_))));
        let naming = naming.retry_infix("");
        assert!(matches!(TopicPlan::of(&MAIN, "g", &policy, &naming), Err(InvalidPlan::Naming(_))));
    }
}
