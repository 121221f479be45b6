//! What the user service says.
//!
//! All three events share one topic. Order holds within a partition of one topic, and a user's key always leads to
//! the same partition: so whoever reads the topic sees a user created, then renamed, then deactivated, never the
//! other way round. With a topic for each event, nothing would order one topic after another.

use serde::{Deserialize, Serialize};
use tidings::{IntegrationEvent, Topic};
use uuid::Uuid;

/// All that happens to users. Six partitions: so many processes may share the work of one group.
#[derive(Topic)]
#[topic(
    kind = event,
    name = "integration-events.users",
    carries(UserCreated, UserRenamed, UserDeactivated),
    partitions = 6,
    replication = auto
)]
pub struct Users;

/// A user signed up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, IntegrationEvent)]
#[event(key = user_id, topic = Users)]
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
#[event(key = user_id, topic = Users)]
pub struct UserRenamed {
    /// Who.
    pub user_id: Uuid,
    /// The new name.
    pub full_name: String,
}

/// A user left. No event of this user follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, IntegrationEvent)]
#[event(key = user_id, topic = Users)]
pub struct UserDeactivated {
    /// Who.
    pub user_id: Uuid,
    /// Where mail still reaches them: a reader need not have kept it.
    pub email: String,
    /// What they were called last.
    pub full_name: String,
}
