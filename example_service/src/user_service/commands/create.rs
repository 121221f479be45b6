//! Somebody signs up.

use chrono::Utc;
use tidings::DomainEvent;
use tidings::mediator::{Command, Context, Request, RequestHandler, ValidationErrors};

use super::{UserError, check};
use crate::user_service::domain::{Email, FullName, User};
use crate::user_service::store::Users;

/// Makes a user, as somebody typed it.
#[derive(Debug)]
pub struct CreateUser {
    pub email: String,
    pub full_name: String,
}

impl Command for CreateUser {}

impl Request for CreateUser {
    type Response = User;
    type Error = UserError;

    fn validate(&self) -> Result<(), ValidationErrors> {
        ValidationErrors::collect(|errors| {
            check(errors, Email::new(&self.email));
            check(errors, FullName::new(&self.full_name));
        })
    }

    fn domain_events(user: &mut User) -> Vec<Box<dyn DomainEvent>> {
        user.take_events()
    }
}

/// Stores the new user.
pub struct CreateUserHandler {
    pub users: Users,
}

impl RequestHandler<CreateUser> for CreateUserHandler {
    async fn handle(&self, request: CreateUser, _: &mut Context) -> Result<User, UserError> {
        let email = Email::new(&request.email)?;
        let full_name = FullName::new(&request.full_name)?;
        let user = User::register(email, full_name, Utc::now());
        self.users.add(&user).await?;
        Ok(user)
    }
}
