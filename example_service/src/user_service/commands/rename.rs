//! A user takes another name.

use chrono::Utc;
use tidings::Command;
use tidings::mediator::{Context, RequestHandler, ValidationErrors};
use uuid::Uuid;

use super::{UserError, check, found};
use crate::database::transaction;
use crate::user_service::domain::{FullName, User};
use crate::user_service::store::Users;

/// Gives a user another name.
#[derive(Debug, Command)]
#[request(response = User, error = UserError)]
#[request(validate = Self::check, domain_events = User::take_events)]
pub struct RenameUser {
    pub user_id: Uuid,
    pub full_name: String,
}

impl RenameUser {
    fn check(&self) -> Result<(), ValidationErrors> {
        ValidationErrors::collect(|errors| check(errors, FullName::new(&self.full_name)))
    }
}

/// Reads, renames and stores the user.
pub struct RenameUserHandler<S> {
    pub users: S,
}

impl<S: Users> RequestHandler<RenameUser> for RenameUserHandler<S> {
    async fn handle(&self, request: RenameUser, cx: &mut Context) -> Result<User, UserError> {
        let transaction = transaction::<S>(cx)?;
        let mut user = found(&self.users, transaction, request.user_id).await?;
        user.rename(FullName::new(&request.full_name)?, Utc::now())?;
        if user.is_changed() {
            self.users.save(transaction, &user).await?;
        }
        Ok(user)
    }
}
