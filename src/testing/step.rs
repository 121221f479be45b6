//! A step of a consumer, kept: the one form in which the test kit and the simulator remember it.

use std::sync::Arc;

use crate::event::TopicName;
use crate::transport::{Aside, Step, StepKind};

/// A [`Step`], without its record.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Stepped {
    /// The consumer's group.
    pub group: String,
    /// The handler; `None` where it is the consumer's step.
    pub handler: Option<String>,
    /// What the consumer takes the event for, where it could read it.
    pub event: Option<Arc<str>>,
    /// Which delivery to this handler it is, from 1.
    pub attempt: u32,
    /// What was done.
    pub did: Did,
}

/// A [`StepKind`], kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Did {
    /// A handler was called.
    Begin,
    /// It succeeded, and what it returned was published, or committed with what it wrote.
    Finish,
    /// It had handled the event before, and was not called.
    Duplicate,
    /// It, or the consumer, dropped the event.
    Drop {
        /// Why.
        reason: String,
    },
    /// It failed.
    Fail {
        /// How: transient, permanent, outage, undecodable.
        kind: String,
        /// What it said.
        error: String,
    },
    /// Another topic has acknowledged it.
    Move {
        /// The topic.
        to: TopicName,
        /// What kind of topic that is.
        aside: Aside,
    },
    /// No handler takes it.
    Skip,
}

impl Stepped {
    pub(super) fn of(step: &Step<'_>) -> Self {
        let did = match step.what {
            StepKind::Begun => Did::Begin,
            StepKind::Done => Did::Finish,
            StepKind::Duplicate => Did::Duplicate,
            StepKind::Dropped { reason } => Did::Drop { reason: reason.to_owned() },
            StepKind::Failed { kind, error } => {
                Did::Fail { kind: kind.to_owned(), error: error.to_owned() }
            }
            StepKind::Moved { to, aside } => Did::Move { to: to.clone(), aside },
            StepKind::Skipped => Did::Skip,
        };
        Self {
            group: step.group.to_owned(),
            handler: step.handler.map(str::to_owned),
            event: step.metadata.map(|metadata| metadata.event_type.clone()),
            attempt: step.attempt,
            did,
        }
    }

    /// `group/handler`, or the group where it was the consumer's own step.
    pub(super) fn who(&self) -> String {
        match &self.handler {
            Some(handler) => format!("{}/{handler}", self.group),
            None => self.group.clone(),
        }
    }

    /// Whether this is whom a test names: `handler` or `group/handler`.
    pub(super) fn is_by(&self, name: &str) -> bool {
        self.handler.as_deref() == Some(name) || self.who() == name
    }
}
