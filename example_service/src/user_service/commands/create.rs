//! Somebody signs up.

use chrono::Utc;
use tidings::Command;
use tidings::mediator::{Context, RequestHandler, ValidationErrors};

use super::{UserError, check};
use crate::database::transaction;
use crate::user_service::domain::{Email, FullName, User};
use crate::user_service::store::Users;

/// Makes a user, of what somebody typed.
#[derive(Debug, Command)]
#[request(response = User, error = UserError)]
#[request(validate = Self::check, domain_events = User::take_events)]
pub struct CreateUser {
    pub email: String,
    pub full_name: String,
}

impl CreateUser {
    fn check(&self) -> Result<(), ValidationErrors> {
        ValidationErrors::collect(|errors| {
            check(errors, Email::new(&self.email));
            check(errors, FullName::new(&self.full_name));
        })
    }
}

/// Stores the new user, in the transaction that a behaviour has opened.
pub struct CreateUserHandler<S> {
    pub users: S,
}

impl<S: Users> RequestHandler<CreateUser> for CreateUserHandler<S> {
    async fn handle(&self, request: CreateUser, cx: &mut Context) -> Result<User, UserError> {
        let email = Email::new(&request.email)?;
        let full_name = FullName::new(&request.full_name)?;
        let user = User::register(email, full_name, Utc::now());
        self.users.add(transaction::<S>(cx)?, &user).await?;
        Ok(user)
    }
}
