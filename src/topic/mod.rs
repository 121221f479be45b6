//! The topics beside a main topic: retry tiers, dead letters and quarantine, and how they are named.
//!
//! A [`TopicPlan`] is every topic that a consumer needs for one main topic.

mod naming;
mod plan;

pub use naming::{InvalidNaming, TopicNaming};
pub use plan::{InvalidPlan, TopicPlan};
