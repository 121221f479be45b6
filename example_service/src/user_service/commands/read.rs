//! Users are looked at.

use tidings::Query;
use tidings::mediator::{Context, RequestHandler};
use uuid::Uuid;

use super::{UserError, found};
use crate::user_service::domain::User;
use crate::user_service::store::Users;

/// One user.
#[derive(Debug, Query)]
#[request(response = User, error = UserError)]
pub struct GetUser {
    pub user_id: Uuid,
}

/// Reads the user.
pub struct GetUserHandler {
    pub users: Users,
}

impl RequestHandler<GetUser> for GetUserHandler {
    async fn handle(&self, request: GetUser, _: &mut Context) -> Result<User, UserError> {
        found(&self.users, request.user_id).await
    }
}

/// Users in the order in which they signed up, after one of them.
#[derive(Debug, Query)]
#[request(response = Vec<User>, error = UserError)]
pub struct ListUsers {
    pub after: Option<Uuid>,
    pub limit: u32,
}

/// Reads a page of users.
pub struct ListUsersHandler {
    pub users: Users,
}

impl RequestHandler<ListUsers> for ListUsersHandler {
    async fn handle(&self, request: ListUsers, _: &mut Context) -> Result<Vec<User>, UserError> {
        Ok(self.users.list(request.after, request.limit).await?)
    }
}
