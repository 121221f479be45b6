//! A user leaves.

use tidings::Command;
use tidings::mediator::{Context, RequestHandler};
use uuid::Uuid;

use super::{UserError, found};
use crate::user_service::store::Users;

/// Deactivates a user.
#[derive(Debug, Command)]
#[request(error = UserError)]
pub struct DeactivateUser {
    pub user_id: Uuid,
}

/// Reads, deactivates and stores the user.
pub struct DeactivateUserHandler {
    pub users: Users,
}

impl RequestHandler<DeactivateUser> for DeactivateUserHandler {
    async fn handle(&self, request: DeactivateUser, cx: &mut Context) -> Result<(), UserError> {
        let mut user = found(&self.users, request.user_id).await?;
        user.deactivate();
        if user.is_changed() {
            self.users.save(&user).await?;
        }
        // The answer holds no user that could bring its events along, so they are raised here.
        cx.raise_all(user.take_events());
        Ok(())
    }
}
