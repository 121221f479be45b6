//! What can be set about a worker.

use std::time::Duration;

use super::frame::Hooks;
use crate::consumer::{BuildError, Consumer, ConsumerBuilder};
use crate::event::TopicName;
use crate::retry::{Backoff, RetryPolicy};
use crate::transport::TopicNeed;

/// Retries in place where only their backoff is said.
const RETRIES: u32 = 2;

/// Everything but where it reads and writes and what it does.
pub(super) struct Settings {
    pub(super) name: String,
    pub(super) group: Option<String>,
    pub(super) consumer: ConsumerBuilder,
    /// Topics that nothing but the user knows of.
    pub(super) writes: Vec<TopicNeed>,
    pub(super) concurrency: usize,
    pub(super) max_retries: Option<u32>,
    pub(super) backoff: Option<Backoff>,
    pub(super) retry: Option<RetryPolicy>,
    pub(super) dead_letters: Option<DeadLetters>,
    pub(super) timeout: Duration,
    pub(super) hooks: Hooks,
}

/// What becomes of inputs that ran out of retries; `true`, `false` or a topic's name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeadLetters {
    /// They go to the dead-letter topic that is named after the input topic.
    On,
    /// They are dropped: logged and counted.
    Off,
    /// They go to this topic.
    To(TopicName),
}

impl From<bool> for DeadLetters {
    fn from(on: bool) -> Self {
        if on { Self::On } else { Self::Off }
    }
}

impl From<TopicName> for DeadLetters {
    fn from(name: TopicName) -> Self {
        Self::To(name)
    }
}

impl Settings {
    pub(super) fn new(name: String) -> Self {
        Self {
            consumer: Consumer::configured(),
            writes: Vec::new(),
            name,
            group: None,
            concurrency: 64,
            max_retries: None,
            backoff: None,
            retry: None,
            dead_letters: None,
            timeout: Duration::from_secs(60),
            hooks: Hooks::default(),
        }
    }

    pub(super) fn check(&self) -> Result<(), BuildError> {
        let name = &self.name;
        let setting = |problem: String| Err(BuildError::Setting(problem));
        if name.trim().is_empty() {
            return setting("a worker must have a name".into());
        }
        if self.consumer.has_inbox() {
            return setting(format!(
                "worker {name:?} has an inbox; what it publishes cannot be part of a transaction, so use a \
                 consumer, whose handlers can"
            ));
        }
        if self.concurrency == 0 || self.timeout.is_zero() {
            return setting(format!(
                "worker {name:?}: concurrency starts at 1, and the timeout must not be zero"
            ));
        }
        if self.retry.is_some() && (self.max_retries.is_some() || self.backoff.is_some()) {
            return setting(format!(
                "worker {name:?} has both a retry policy and retries of its own; say them in the policy, with \
                 `.immediate(…)` and `.backoff(…)`, or leave the policy out"
            ));
        }
        Ok(())
    }

    pub(super) fn policy(&self, default: RetryPolicy) -> RetryPolicy {
        let policy = match (&self.retry, self.max_retries, self.backoff) {
            (Some(policy), ..) => policy.clone(),
            (None, None, None) => default,
            (None, retries, backoff) => RetryPolicy::none()
                .immediate(retries.unwrap_or(RETRIES))
                .backoff(backoff.unwrap_or_default()),
        };
        match &self.dead_letters {
            None => policy,
            Some(said) => policy.dead_letter(*said != DeadLetters::Off),
        }
    }
}
