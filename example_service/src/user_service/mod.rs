//! The user service: users come, are renamed and leave, and all others are told.

pub mod commands;
pub mod domain;
mod http;
mod mapping;
mod store;

use std::time::Duration;

use tidings::error::BoxError;
use tidings::mediator::{EventPublisher, Mediator, Publishing, Timeout, Tracing, Validation};

pub use http::{Requests, router};
pub use mapping::event_mapper;
pub use store::{StoreError, Users};

use commands::{
    CreateUserHandler, DeactivateUserHandler, GetUserHandler, ListUsersHandler, RenameUserHandler,
};

/// What its events name as their source.
pub const NAME: &str = "user-service";

/// How long a request may take. Publishing comes after it and has a bound of its own.
const REQUEST: Duration = Duration::from_secs(5);

/// Everything between HTTP and the database, and a publisher; a test's may be a list.
///
/// # Errors
/// When a domain event is neither mapped nor ignored, or a request has no handler or two.
pub fn requests<P: EventPublisher>(
    users: Users,
    publisher: P,
) -> Result<Publishing<Mediator, P>, BoxError> {
    let mediator = Mediator::builder()
        .behaviour(Tracing)
        .behaviour(Timeout(REQUEST))
        .behaviour(Validation)
        .handler(CreateUserHandler { users: users.clone() })
        .handler(RenameUserHandler { users: users.clone() })
        .handler(DeactivateUserHandler { users: users.clone() })
        .handler(GetUserHandler { users: users.clone() })
        .handler(ListUsersHandler { users })
        .build()?;
    Ok(mediator.publishing(event_mapper()?, publisher))
}
