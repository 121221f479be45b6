//! A user leaves.

use tidings::Command;
use tidings::mediator::{Context, RequestHandler};
use uuid::Uuid;

use super::{UserError, found};
use crate::database::transaction;
use crate::user_service::store::Users;

/// Deactivates a user.
#[derive(Debug, Command)]
#[request(error = UserError)]
pub struct DeactivateUser {
    pub user_id: Uuid,
}

/// Reads, deactivates and stores the user.
pub struct DeactivateUserHandler<S> {
    pub users: S,
}

impl<S: Users> RequestHandler<DeactivateUser> for DeactivateUserHandler<S> {
    async fn handle(&self, request: DeactivateUser, cx: &mut Context) -> Result<(), UserError> {
        let transaction = transaction::<S>(cx)?;
        let mut user = found(&self.users, transaction, request.user_id).await?;
        user.deactivate();
        if user.is_changed() {
            self.users.save(transaction, &user).await?;
        }
        // The answer holds no user that could bring its events along, so they are raised here.
        cx.raise_all(user.take_events());
        Ok(())
    }
}
