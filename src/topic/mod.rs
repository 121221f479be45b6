//! Topics: declared as types or built at run time, and the ones beside a main topic.
//!
//! A [`TopicSpec`] says what a topic has to be; `#[derive(Topic)]` makes one of a type. A [`TopicPlan`]
//! is every topic that a consumer needs for one main topic: retry tiers, dead letters, quarantine.

mod beside;
mod logical;
mod naming;
mod plan;
mod typed;

pub use logical::{InvalidLogicalTopics, LogicalTopics, TOPIC_VARIABLE, UnknownLogicalTopic};
pub use naming::{InvalidNaming, TopicNaming};
pub use plan::{InvalidPlan, TopicPlan};
pub use typed::{CarriedBy, Carries, CommandTopic, EventTopic, StateTopic, Topic};

pub use crate::event::{
    InvalidRetention, InvalidTopicSpec, Profile, Replication, Retention, TopicCompression,
    TopicKind, TopicSettings, TopicSpec,
};
