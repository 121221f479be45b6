//! From this service's domain events to the contracts that others read.

use example_contracts::{UserCreated, UserDeactivated, UserRenamed};
use tidings::mapper::{BuildError, EventMapper};

use super::domain::{FullNameChanged, LastSeenChanged, UserLeft, UserRegistered};

/// Every domain event is mapped or ignored; one that is forgotten here stops the service at its start.
///
/// # Errors
/// When one is forgotten.
pub fn event_mapper() -> Result<EventMapper, BuildError> {
    EventMapper::builder()
        .map::<UserRegistered, UserCreated>()
        .map_with(|event: &FullNameChanged| UserRenamed {
            user_id: event.user_id,
            full_name: event.full_name.as_str().into(),
        })
        .map_with(|event: &UserLeft| UserDeactivated {
            user_id: event.user_id,
            email: event.email.as_str().into(),
            full_name: event.full_name.as_str().into(),
        })
        .ignore::<LastSeenChanged>()
        .covers::<(UserRegistered, FullNameChanged, UserLeft, LastSeenChanged)>()
        .build()
}

impl From<&UserRegistered> for UserCreated {
    fn from(event: &UserRegistered) -> Self {
        Self {
            user_id: event.user_id,
            email: event.email.as_str().into(),
            full_name: event.full_name.as_str().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use tidings::testing::Scenario;
    use uuid::Uuid;

    use super::*;
    use crate::user_service::domain::{Email, FullName};

    #[test]
    fn what_others_are_told_of_a_user_and_what_they_are_not() {
        let scenario = Scenario::mapping(event_mapper().unwrap());
        let user_id = Uuid::now_v7();
        let (email, full_name) =
            (Email::new("ada@example.org").unwrap(), FullName::new("Ada").unwrap());
        let (address, name) = ("ada@example.org".to_owned(), "Ada".to_owned());
        scenario
            .when_raised(UserRegistered {
                user_id,
                email: email.clone(),
                full_name: full_name.clone(),
            })
            .then_published(UserCreated {
                user_id,
                email: address.clone(),
                full_name: name.clone(),
            });
        scenario
            .when_raised(FullNameChanged { user_id, full_name: full_name.clone() })
            .then_published(UserRenamed { user_id, full_name: name.clone() });
        scenario
            .when_raised(UserLeft { user_id, email, full_name })
            .then_published(UserDeactivated { user_id, email: address, full_name: name });
        scenario
            .when_raised(LastSeenChanged { user_id, at: chrono::Utc::now() })
            .then_published(());
    }
}
