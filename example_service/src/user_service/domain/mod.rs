//! The user: what may happen to one, and what is said when it did.

mod events;
mod values;

use chrono::{DateTime, Utc};
use tidings::DomainEvent;
use uuid::Uuid;

pub use events::{FullNameChanged, LastSeenChanged, UserLeft, UserRegistered};
pub use values::{Email, FullName, InvalidValue};

/// The aggregate. It changes through its methods only; each remembers what happened until
/// [`take_events`](Self::take_events).
#[derive(Debug)]
pub struct User {
    id: Uuid,
    email: Email,
    full_name: FullName,
    active: bool,
    created_at: DateTime<Utc>,
    last_seen_at: DateTime<Utc>,
    /// How often it was stored: what tells two writers apart who read the same user.
    version: i64,
    events: Vec<Box<dyn DomainEvent>>,
}

/// A user's fields as a store keeps them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserState {
    /// See the methods of [`User`].
    pub id: Uuid,
    pub email: Email,
    pub full_name: FullName,
    pub active: bool,
    pub created_at: DateTime<Utc>,
    pub last_seen_at: DateTime<Utc>,
    pub version: i64,
}

/// Someone who left stays as they were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the user is deactivated")]
pub struct Deactivated;

impl User {
    /// Someone signs up.
    pub fn register(email: Email, full_name: FullName, now: DateTime<Utc>) -> Self {
        let id = Uuid::now_v7();
        let registered =
            UserRegistered { user_id: id, email: email.clone(), full_name: full_name.clone() };
        Self {
            id,
            email,
            full_name,
            active: true,
            created_at: now,
            last_seen_at: now,
            version: 0,
            events: vec![Box::new(registered)],
        }
    }

    /// A user as it was stored; nothing happened to it since.
    pub fn restore(state: UserState) -> Self {
        let UserState { id, email, full_name, active, created_at, last_seen_at, version } = state;
        Self { id, email, full_name, active, created_at, last_seen_at, version, events: Vec::new() }
    }

    /// Gives the user another name, which also is a sign of life. The same name changes nothing.
    ///
    /// # Errors
    /// When the user is deactivated.
    pub fn rename(&mut self, full_name: FullName, now: DateTime<Utc>) -> Result<(), Deactivated> {
        if !self.active {
            return Err(Deactivated);
        }
        if self.full_name != full_name {
            self.full_name = full_name.clone();
            self.last_seen_at = now;
            self.happened(FullNameChanged { user_id: self.id, full_name });
            self.happened(LastSeenChanged { user_id: self.id, at: now });
        }
        Ok(())
    }

    /// Lets the user go. Doing so again changes nothing.
    pub fn deactivate(&mut self) {
        if self.active {
            self.active = false;
            self.happened(UserLeft {
                user_id: self.id,
                email: self.email.clone(),
                full_name: self.full_name.clone(),
            });
        }
    }

    /// What happened since the user was made or restored; empty afterwards.
    pub fn take_events(&mut self) -> Vec<Box<dyn DomainEvent>> {
        std::mem::take(&mut self.events)
    }

    /// Whether anything happened that is not stored.
    pub fn is_changed(&self) -> bool {
        !self.events.is_empty()
    }

    /// The fields, for a store or an answer.
    pub fn state(&self) -> UserState {
        UserState {
            id: self.id,
            email: self.email.clone(),
            full_name: self.full_name.clone(),
            active: self.active,
            created_at: self.created_at,
            last_seen_at: self.last_seen_at,
            version: self.version,
        }
    }

    fn happened(&mut self, event: impl DomainEvent) {
        self.events.push(Box::new(event));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> User {
        let (email, name) = ("ada@example.org", "Ada Byron");
        User::register(Email::new(email).unwrap(), FullName::new(name).unwrap(), Utc::now())
    }

    fn names(user: &mut User) -> Vec<&'static str> {
        user.take_events().iter().map(|event| event.name()).collect()
    }

    #[test]
    fn what_happens_to_a_user_is_said_once_and_in_order() {
        let mut user = user();
        user.rename(FullName::new("Ada Lovelace").unwrap(), Utc::now()).unwrap();
        user.deactivate();
        let expected = ["UserRegistered", "FullNameChanged", "LastSeenChanged", "UserLeft"];
        assert_eq!(names(&mut user), expected);
        assert!(!user.is_changed());
    }

    #[test]
    fn what_changes_nothing_is_not_said() {
        let mut user = user();
        user.take_events();
        user.rename(FullName::new("Ada Byron").unwrap(), Utc::now()).unwrap();
        assert!(!user.is_changed());
        user.deactivate();
        user.deactivate();
        assert_eq!(names(&mut user), ["UserLeft"]);
    }

    #[test]
    fn a_user_who_left_keeps_the_name() {
        let mut user = user();
        user.deactivate();
        let renamed = user.rename(FullName::new("Someone Else").unwrap(), Utc::now());
        assert_eq!(renamed, Err(Deactivated));
    }
}
