//! What becomes of events whose handlers fail.

use super::super::effective::Origin;
use super::super::names;
use super::super::table::{Setting, settings};
use crate::retry::{Backoff, RetryPolicy, Tier, UnknownType};
use crate::topic::TopicNaming;

settings! {
    /// What becomes of events whose handlers fail.
    FailureSettings at failure {
        /// The delays of the retry topics, shortest first, or `none`. Default: `5s,1m,10m`.
        RETRY_TIERS retry_tiers(Vec<Tier>) = RetryPolicy::default().tiers;
        /// Retries in place, before the first tier and again at each. Default: `2`.
        IMMEDIATE_RETRIES immediate_retries(u32) = RetryPolicy::default().immediate;
        /// How long to wait before each of them: `fixed:100ms`, `linear:100ms:cap=1s`, `exponential:…`. Default:
        /// `exponential:100ms:cap=1s:jitter`.
        BACKOFF backoff(Backoff) = RetryPolicy::default().backoff;
        /// Whether an event that ran out of retries goes to the dead-letter topic. Default: `true`.
        DEAD_LETTER dead_letter(bool) = true;
        /// What stands between a topic's name and a tier's. Default: `.retry.`.
        RETRY_INFIX retry_infix(String) = ".retry.".into();
        /// What stands after a topic's name for its dead letters. Default: `.dlq`.
        DEAD_LETTER_SUFFIX dead_letter_suffix(String) = ".dlq".into();
        /// What stands after a topic's name for what could not be read. Default: `.quarantine`.
        QUARANTINE_SUFFIX quarantine_suffix(String) = ".quarantine".into();
        /// Whether each group has retry, dead-letter and quarantine topics of its own. Default: `false`.
        PER_GROUP_TOPICS per_group_topics(bool) = false;
        /// What to do with an event type without a handler: `ignore`, `dead_letter` or `fail`. Default: `dead_letter`.
        UNKNOWN_TYPE unknown_type(UnknownType) = UnknownType::DeadLetter;
    }
}

impl FailureSettings {
    /// The retry policy that they make.
    pub fn retry_policy(&self) -> RetryPolicy {
        let mut policy = RetryPolicy::none()
            .immediate(self.immediate_retries)
            .backoff(self.backoff)
            .dead_letter(self.dead_letter);
        policy.tiers.clone_from(&self.retry_tiers);
        policy
    }

    /// The names of topics that they make.
    pub fn topic_naming(&self) -> TopicNaming {
        TopicNaming::default()
            .retry_infix(&self.retry_infix)
            .dead_letter_suffix(&self.dead_letter_suffix)
            .quarantine_suffix(&self.quarantine_suffix)
            .per_group(self.per_group_topics)
    }
}
