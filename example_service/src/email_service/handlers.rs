//! What the email service does about the user service's events.

use std::sync::Arc;

use example_contracts::{UserCreated, UserDeactivated};
use tidings::consumer::{Delivery, Event, HandlerError, State, Tx};
use tidings::event::Metadata;

use super::faults::Faults;
use super::mail::{Mail, MailKind, Recipient};
use super::mailbox::FailedTry;
use super::notes::Notes;
use super::store::Mails;

/// Where mails are put. Cheap to clone.
#[derive(Clone)]
pub struct PostOffice<S> {
    pub mails: S,
    /// Whether mails are to go on to SMTP.
    pub smtp: bool,
    /// Mailboxes that fail, where there are such.
    pub faults: Option<Arc<Faults>>,
    /// What failed, for people to read.
    pub notes: Notes,
}

/// Greets a new user.
///
/// # Errors
/// When the mail was not taken.
pub async fn welcome<S: Mails>(
    Event(user): Event<UserCreated>,
    metadata: Metadata,
    delivery: Delivery,
    State(post): State<PostOffice<S>>,
    mut tx: Tx<S>,
) -> Result<(), HandlerError> {
    let to = Recipient { user_id: user.user_id, address: user.email, name: user.full_name };
    post.put(&mut tx, Mail::new(MailKind::Welcome, to, &metadata, delivery.number())).await
}

/// Takes leave of a user.
///
/// # Errors
/// When the mail was not taken.
pub async fn goodbye<S: Mails>(
    Event(user): Event<UserDeactivated>,
    metadata: Metadata,
    delivery: Delivery,
    State(post): State<PostOffice<S>>,
    mut tx: Tx<S>,
) -> Result<(), HandlerError> {
    let to = Recipient { user_id: user.user_id, address: user.email, name: user.full_name };
    post.put(&mut tx, Mail::new(MailKind::Goodbye, to, &metadata, delivery.number())).await
}

impl<S: Mails> PostOffice<S> {
    /// In the transaction in which it is noted that the event was handled: so each event has one mail.
    async fn put(&self, tx: &mut S::Connection, mail: Mail) -> Result<(), HandlerError> {
        if let Some(Err(error)) = self.faults.as_ref().map(|faults| faults.check(&mail.to)) {
            self.notes.note(FailedTry::now(&mail, mail.attempt, error.to_string()));
            // Through the tiers, then to the dead letters.
            return Err(HandlerError::transient(error));
        }
        Ok(self.mails.add(tx, &mail, self.smtp).await?)
    }
}
