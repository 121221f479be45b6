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
