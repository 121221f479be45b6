//! What the check found.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::witness::DeadLetter;
use crate::email_service::MailKind;

/// What came out.
#[derive(Debug, Default, Serialize)]
pub struct Findings {
    pub users: usize,
    pub events_published: usize,
    pub mails_sent: usize,
    /// Mails that went to each tier.
    pub retried: BTreeMap<String, usize>,
    pub dead_lettered: usize,
    /// Goodbyes that came before a welcome that was on a tier, which is allowed: a failed event gives up its place.
    pub overtaken: usize,
    pub missing: Vec<String>,
    pub doubled: Vec<String>,
    pub out_of_order: Vec<String>,
    /// Dead letters of mailboxes that work in the end, and mails to those that never do.
    pub unexpected: Vec<String>,
    /// From the event to the mail, of those that were taken at once.
    pub latency: Latency,
    /// Where each mail ended that failed at first.
    pub failed: Vec<Fate>,
}

/// Milliseconds.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Latency {
    pub p50_ms: u64,
    pub p95_ms: u64,
    pub p99_ms: u64,
    pub max_ms: u64,
}

/// Where a mail ended that failed at first.
#[derive(Debug, Clone, Serialize)]
pub struct Fate {
    pub to: String,
    pub mail: MailKind,
    /// Deliveries that failed, retries in place not counted.
    pub failed_deliveries: u32,
    pub end: End,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// At this delivery, so long after the event.
    Delivered {
        attempt: u32,
        after_ms: u64,
    },
    DeadLetter(DeadLetter),
    Nowhere,
}

impl Findings {
    /// Whether all is as it should be.
    pub fn is_sound(&self) -> bool {
        [&self.missing, &self.doubled, &self.out_of_order, &self.unexpected]
            .iter()
            .all(|problems| problems.is_empty())
    }
}

impl Latency {
    /// Of so many measured ones.
    pub fn of(mut latencies: Vec<Duration>) -> Self {
        latencies.sort_unstable();
        // The nearest rank: the smallest value that so many percent do not exceed.
        let at = |percent: usize| {
            let rank = (latencies.len() * percent).div_ceil(100).max(1);
            latencies.get(rank - 1).copied().map(millis).unwrap_or_default()
        };
        Self { p50_ms: at(50), p95_ms: at(95), p99_ms: at(99), max_ms: at(100) }
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
