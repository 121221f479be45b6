//! The contracts between the example's services: what the user service says to all others.
//!
//! All three events share one topic. Order holds within a partition of one topic, and a user's key always leads to
//! the same partition: so whoever reads the topic sees a user created, then renamed, then deactivated, never the
//! other way round. With a topic for each event, nothing would order one topic after another.

use serde::{Deserialize, Serialize};
use tidings::IntegrationEvent;
use uuid::Uuid;

/// A user signed up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, IntegrationEvent)]
#[event(key = user_id, topic = "integration-events.users")]
pub struct UserCreated {
    /// Who.
    pub user_id: Uuid,
    /// Where mail reaches them, in lower case.
    pub email: String,
    /// What they are called.
    pub full_name: String,
}

/// A user is called something else from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, IntegrationEvent)]
#[event(key = user_id, topic = "integration-events.users")]
pub struct UserRenamed {
    /// Who.
    pub user_id: Uuid,
    /// The new name.
    pub full_name: String,
}

/// A user left. No event of this user follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, IntegrationEvent)]
#[event(key = user_id, topic = "integration-events.users")]
pub struct UserDeactivated {
    /// Who.
    pub user_id: Uuid,
    /// Where mail still reaches them: a reader need not have kept it.
    pub email: String,
    /// What they were called last.
    pub full_name: String,
}
