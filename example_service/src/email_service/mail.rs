//! A mail, and the port that takes it to somebody.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A mail to a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mail {
    /// The event that it is sent for; also its `Message-ID`, so that a mail program shows a mail
    /// once that was sent twice.
    pub event_id: String,
    pub kind: MailKind,
    pub user_id: Uuid,
    pub to: String,
    pub subject: String,
    pub body: String,
    /// Which delivery of the event it was, from 1.
    pub attempt: u32,
    /// When the event happened.
    pub occurred_at: DateTime<Utc>,
}

/// What a mail is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailKind {
    Welcome,
    Goodbye,
}

/// Takes mails to people.
#[async_trait]
pub trait Mailer: Send + Sync + 'static {
    /// Sends a mail; `Ok` once somebody else has it.
    ///
    /// # Errors
    /// When nobody took it; the error says whether it may work later.
    async fn send(&self, mail: &Mail) -> Result<(), MailError>;
}

/// Why a mail was not taken.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// Not now, for this mail.
    #[error("the mailbox did not take the mail this time")]
    NotNow(#[source] Option<tidings::error::BoxError>),
    /// Never: there is no such mailbox, or the address is none.
    #[error("the mailbox will never take the mail")]
    Never(#[source] tidings::error::BoxError),
    /// Nobody's mail is taken: the mail server is away.
    #[error("the mail server is away")]
    ServerAway(#[source] tidings::error::BoxError),
}
