//! The user service: users come, are renamed and leave, and all others are told.

pub mod commands;
pub mod domain;
mod http;
mod mapping;
mod store;

use std::time::Duration;

use tidings::error::BoxError;
use tidings::mediator::{InTransaction, Mediator, Storing, Timeout, Tracing, Validation};
use tidings::outbox::Outbox;

pub use http::router;
pub use mapping::event_mapper;
pub use store::{SCHEMA, StoreError, Users};

use commands::{
    CreateUserHandler, DeactivateUserHandler, GetUserHandler, ListUsersHandler, RenameUserHandler,
};

/// What its events name as their source.
pub const NAME: &str = "user-service";

/// How long a request may take; its commit comes after it.
const REQUEST: Duration = Duration::from_secs(5);

/// What can be asked of the service. Cheap to clone.
#[derive(Clone)]
pub struct Requests<S> {
    /// Each is committed together with what it raised.
    pub commands: Storing<Mediator, Outbox<S>>,
    /// These need no transaction.
    pub queries: Mediator,
    /// For those who bring a transaction of their own.
    pub users: S,
}

/// Everything between HTTP and the database.
///
/// # Errors
/// When a domain event is neither mapped nor ignored, or a request has no handler or two.
pub fn requests<S: Users>(outbox: Outbox<S>) -> Result<Requests<S>, BoxError> {
    let users = outbox.store().clone();
    let commands = Mediator::builder()
        .behaviour(Tracing)
        .behaviour(Timeout(REQUEST))
        .behaviour(Validation)
        // Opens a transaction for the handler, unless the caller has brought one.
        .behaviour(InTransaction(outbox.clone()))
        .handler(CreateUserHandler { users: users.clone() })
        .handler(RenameUserHandler { users: users.clone() })
        .handler(DeactivateUserHandler { users: users.clone() })
        .build()?;
    let queries = Mediator::builder()
        .behaviour(Tracing)
        .behaviour(Timeout(REQUEST))
        .handler(GetUserHandler { users: users.clone() })
        .handler(ListUsersHandler { users: users.clone() })
        .build()?;
    // Maps what a command raised, stores it in the command's transaction, and commits.
    Ok(Requests { commands: commands.storing(event_mapper()?, outbox), queries, users })
}
