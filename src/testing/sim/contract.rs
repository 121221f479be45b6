//! What a simulated application is to do: the checks know it from here, not from what it did.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::consumer::Order;
use crate::event::{IntegrationEvent, TopicName};
use crate::retry::RetryPolicy;
use crate::topic::{InvalidPlan, TopicNaming, TopicPlan};

/// What each consumer group is to do.
#[derive(Debug, Default, Clone)]
pub struct Contract {
    groups: BTreeMap<String, Duties>,
}

/// What one group is to do.
#[derive(Debug, Clone)]
pub struct Duties {
    group: String,
    order: Order,
    retry: RetryPolicy,
    naming: TopicNaming,
    once: bool,
    window: Option<Duration>,
    topics: BTreeMap<TopicName, TopicPlan>,
    handlers: BTreeMap<(TopicName, String), BTreeSet<String>>,
}

/// What a topic is to a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Events are published to it.
    Main,
    /// Its retry topic of this number, from 0.
    Tier(usize, Duration),
    DeadLetter,
    Quarantine,
}

impl Contract {
    /// Adds a group.
    pub fn add(&mut self, duties: Duties) {
        self.groups.insert(duties.group.clone(), duties);
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = &Duties> {
        self.groups.values()
    }

    pub(super) fn group(&self, name: &str) -> Option<&Duties> {
        self.groups.get(name)
    }
}

impl Duties {
    /// A group without duties yet.
    pub fn new(group: impl Into<String>, order: Order, retry: RetryPolicy) -> Self {
        let (naming, once, window, topics, handlers) = Default::default();
        Self { group: group.into(), order, retry, naming, once, window, topics, handlers }
    }

    /// How its retry, dead-letter and quarantine topics are named, where that is not the default; to be
    /// said before its topics.
    #[must_use]
    pub fn naming(mut self, naming: TopicNaming) -> Self {
        self.naming = naming;
        self
    }

    /// Its handlers run in transactions of an inbox: what they do happens exactly once. Each of them
    /// notes an [`effect`](super::super::database::MemoryConnection::effect) when it succeeds, and
    /// answers an error when it does not.
    #[must_use]
    pub fn once(mut self) -> Self {
        self.once = true;
        self
    }

    /// Its inbox forgets what was handled longer ago than that.
    #[must_use]
    pub fn window(mut self, window: Duration) -> Self {
        self.window = Some(window);
        self
    }

    /// Its handler of a type of event.
    ///
    /// # Errors
    /// When the topics around one of the event's topics cannot be planned.
    pub fn event<E: IntegrationEvent>(self, handler: &str) -> Result<Self, InvalidPlan> {
        E::topics()
            .iter()
            .try_fold(self, |duties, topic| duties.handles(topic.clone(), E::NAME, handler))
    }

    /// Its handler of an event that lies on a topic.
    ///
    /// # Errors
    /// When the topics around that topic cannot be planned.
    pub fn handles(
        mut self,
        topic: TopicName,
        event: impl Into<String>,
        handler: impl Into<String>,
    ) -> Result<Self, InvalidPlan> {
        let plan = TopicPlan::of(&topic, &self.group, &self.retry, &self.naming)?;
        self.topics.insert(topic.clone(), plan);
        self.handlers.entry((topic, event.into())).or_default().insert(handler.into());
        Ok(self)
    }

    /// An event on a topic of it that it passes over.
    ///
    /// # Errors
    /// As for [`handles`](Self::handles).
    pub fn ignores(
        mut self,
        topic: TopicName,
        event: impl Into<String>,
    ) -> Result<Self, InvalidPlan> {
        let plan = TopicPlan::of(&topic, &self.group, &self.retry, &self.naming)?;
        self.topics.insert(topic.clone(), plan);
        self.handlers.entry((topic, event.into())).or_default();
        Ok(self)
    }

    pub(super) fn name(&self) -> &str {
        &self.group
    }

    /// How long its inbox remembers, where that is said.
    pub(super) fn remembers(&self) -> Option<Duration> {
        self.window
    }

    pub(super) fn is_once(&self) -> bool {
        self.once
    }

    pub(super) fn by_partition(&self) -> bool {
        self.order == Order::ByPartition
    }

    pub(super) fn tiers(&self) -> usize {
        self.retry.tiers.len()
    }

    /// What a topic is to it; `None` where it is nothing.
    pub(super) fn role(&self, topic: &TopicName) -> Option<Role> {
        self.topics.values().find_map(|plan| {
            if plan.main == *topic {
                return Some(Role::Main);
            }
            if plan.dead_letter.as_ref() == Some(topic) {
                return Some(Role::DeadLetter);
            }
            if plan.quarantine == *topic {
                return Some(Role::Quarantine);
            }
            let tier = plan.tiers.iter().position(|(_, tier)| tier == topic)?;
            Some(Role::Tier(tier, plan.tiers[tier].0.delay()))
        })
    }

    /// Whether a topic is one of the tiers of another.
    pub(super) fn surrounds(&self, main: &TopicName, topic: &TopicName) -> bool {
        let plan = self.topics.get(main);
        plan.is_some_and(|plan| plan.tiers.iter().any(|(_, tier)| tier == topic))
    }

    /// The handlers of an event; `None` where the group does not know it.
    pub(super) fn handlers(&self, topic: &TopicName, event: &str) -> Option<&BTreeSet<String>> {
        self.handlers.get(&(topic.clone(), event.to_owned()))
    }

    /// The longest that an event of it can wait.
    pub(super) fn longest(&self) -> Duration {
        self.retry.longest_span()
    }
}
