//! What the email service does about the user service's events.

use std::sync::Arc;

use example_contracts::{UserCreated, UserDeactivated};
use tidings::consumer::{Attempt, Event, HandlerError, State};
use tidings::event::Metadata;

use super::mail::{Mail, MailError, MailKind, Mailer, Recipient};
use super::mailbox::Mailbox;

/// Where mails go, and where it is noted what failed. Cheap to clone.
#[derive(Clone)]
pub struct PostOffice {
    pub mailer: Arc<dyn Mailer>,
    pub mailbox: Mailbox,
}

/// Greets a new user.
///
/// # Errors
/// When the mail was not taken.
pub async fn welcome(
    Event(user): Event<UserCreated>,
    metadata: Metadata,
    Attempt(attempt): Attempt,
    State(post): State<PostOffice>,
) -> Result<(), HandlerError> {
    let to = Recipient { user_id: user.user_id, address: user.email, name: user.full_name };
    post.send(Mail::new(MailKind::Welcome, to, &metadata, attempt)).await
}

/// Takes leave of a user.
///
/// # Errors
/// When the mail was not taken.
pub async fn goodbye(
    Event(user): Event<UserDeactivated>,
    metadata: Metadata,
    Attempt(attempt): Attempt,
    State(post): State<PostOffice>,
) -> Result<(), HandlerError> {
    let to = Recipient { user_id: user.user_id, address: user.email, name: user.full_name };
    post.send(Mail::new(MailKind::Goodbye, to, &metadata, attempt)).await
}

impl PostOffice {
    async fn send(&self, mail: Mail) -> Result<(), HandlerError> {
        let Err(error) = self.mailer.send(&mail).await else { return Ok(()) };
        self.mailbox.note_failure(&mail, tidings::error::chain(&error));
        Err(match error {
            // Through the tiers, then to the dead letters.
            MailError::NotNow(_) => HandlerError::transient(error),
            // No retry helps: to the dead letters at once.
            MailError::Never(_) => HandlerError::permanent(error),
            // It would be the same with every mail: wait until the server is back, count nothing.
            MailError::ServerAway(_) => HandlerError::outage(error),
        })
    }
}
