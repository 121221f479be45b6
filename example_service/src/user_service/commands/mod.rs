//! What can be asked of the user service: a file for each use case, its request and its handler.

mod create;
mod deactivate;
mod read;
mod rename;

use tidings::mediator::ValidationErrors;
use tidings::store::NoTransaction;
use uuid::Uuid;

pub use create::{CreateUser, CreateUserHandler};
pub use deactivate::{DeactivateUser, DeactivateUserHandler};
pub use read::{GetUser, GetUserHandler, ListUsers, ListUsersHandler};
pub use rename::{RenameUser, RenameUserHandler};

use super::domain::{Deactivated, InvalidValue, User};
use super::store::{StoreError, Users};

/// Why a request was not done. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// There is no such user.
    #[error("there is no user {0}")]
    NotFound(Uuid),
    /// A value that its type refuses.
    #[error(transparent)]
    Invalid(#[from] InvalidValue),
    /// The user left.
    #[error(transparent)]
    Deactivated(#[from] Deactivated),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The mediator is put together wrongly.
    #[error(transparent)]
    NoTransaction(#[from] NoTransaction),
}

async fn found<S: Users>(
    users: &S,
    connection: &mut S::Connection,
    id: Uuid,
) -> Result<User, UserError> {
    users.find(connection, id).await?.ok_or(UserError::NotFound(id))
}

/// Adds what a value's type says against a text.
fn check<T>(errors: &mut ValidationErrors, value: Result<T, InvalidValue>) {
    if let Err(InvalidValue { field, reason }) = value {
        errors.add(field, reason);
    }
}
