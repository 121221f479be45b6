//! Users are looked at.

use tidings::Query;
use tidings::mediator::{Context, RequestHandler};
use uuid::Uuid;

use super::{UserError, found};
use crate::user_service::domain::{Email, User};
use crate::user_service::store::{StoreError, Users};

/// One user.
#[derive(Debug, Query)]
#[request(response = User, error = UserError)]
pub struct GetUser {
    pub user_id: Uuid,
}

/// Reads the user.
pub struct GetUserHandler<S> {
    pub users: S,
}

impl<S: Users> RequestHandler<GetUser> for GetUserHandler<S> {
    async fn handle(&self, request: GetUser, _: &mut Context) -> Result<User, UserError> {
        let mut connection = self.users.reader().await.map_err(StoreError::from)?;
        found(&self.users, &mut connection, request.user_id).await
    }
}

/// Users in the order in which they signed up, after one of them; or the one with an address.
#[derive(Debug, Query)]
#[request(response = Vec<User>, error = UserError)]
pub struct ListUsers {
    pub after: Option<Uuid>,
    pub email: Option<String>,
    pub limit: u32,
}

/// Reads a page of users.
pub struct ListUsersHandler<S> {
    pub users: S,
}

impl<S: Users> RequestHandler<ListUsers> for ListUsersHandler<S> {
    async fn handle(&self, request: ListUsers, _: &mut Context) -> Result<Vec<User>, UserError> {
        let ListUsers { after, email, limit } = request;
        let email = email.map(|email| Email::new(&email)).transpose()?;
        let mut connection = self.users.reader().await.map_err(StoreError::from)?;
        Ok(self.users.list(&mut connection, after, email.as_ref(), limit).await?)
    }
}
