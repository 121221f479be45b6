//! What the report service's workers make of it.

use serde::{Deserialize, Serialize};
use tidings::{IntegrationEvent, Topic};
use uuid::Uuid;

/// The entries of the monthly reports, each month's in order.
#[derive(Topic)]
#[topic(
    kind = event,
    name = "integration-events.monthly-reports",
    carries(ReportEntry),
    partitions = 3,
    replication = auto,
    retention = "forever"
)]
pub struct MonthlyReports;

/// Somebody came or went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, IntegrationEvent)]
#[event(key = month, topic = MonthlyReports)]
pub struct ReportEntry {
    /// When, as `2026-11`.
    pub month: String,
    /// Who.
    pub user_id: Uuid,
    /// Which of the two.
    pub change: Change,
}

/// What a report counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// A user signed up.
    SignedUp,
    /// A user left.
    Left,
}

/// What is known of each user who is there, by user id.
#[derive(Topic)]
#[topic(
    kind = state,
    name = "user-profiles",
    carries(Profile),
    partitions = 6,
    replication = auto
)]
pub struct UserProfiles;

/// A user, as others need to know them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// What they are called.
    pub full_name: String,
}
