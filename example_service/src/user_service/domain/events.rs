//! What can happen to a user, in the words of this service alone.

use chrono::{DateTime, Utc};
use tidings::DomainEvent;
use uuid::Uuid;

use super::{Email, FullName};

/// Someone signed up.
#[derive(Debug, Clone, DomainEvent)]
pub struct UserRegistered {
    pub user_id: Uuid,
    pub email: Email,
    pub full_name: FullName,
}

/// A user took another name.
#[derive(Debug, Clone, DomainEvent)]
pub struct FullNameChanged {
    pub user_id: Uuid,
    pub full_name: FullName,
}

/// A user was deactivated.
#[derive(Debug, Clone, DomainEvent)]
pub struct UserLeft {
    pub user_id: Uuid,
    pub email: Email,
    pub full_name: FullName,
}

/// A user gave a sign of life. Nobody outside needs to know.
#[derive(Debug, Clone, DomainEvent)]
pub struct LastSeenChanged {
    pub user_id: Uuid,
    pub at: DateTime<Utc>,
}
