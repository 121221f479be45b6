//! A mail, and why it may not be taken.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tidings::event::Metadata;
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

/// Whom a mail is for.
#[derive(Debug, Clone)]
pub struct Recipient {
    pub user_id: Uuid,
    pub address: String,
    pub name: String,
}

impl Mail {
    /// The mail of this kind, for the event that the metadata are of.
    pub fn new(kind: MailKind, to: Recipient, metadata: &Metadata, attempt: u32) -> Self {
        let (subject, text) = kind.words();
        Self {
            event_id: metadata.id.to_string(),
            kind,
            user_id: to.user_id,
            subject: format!("{subject}, {}", to.name),
            body: format!("Hello {},\n\n{text}\n", to.name),
            to: to.address,
            attempt,
            occurred_at: metadata.time,
        }
    }

    pub(super) fn domain(&self) -> &str {
        domain(&self.to)
    }
}

/// What stands behind an address's `@`.
pub(super) fn domain(address: &str) -> &str {
    address.split_once('@').map_or("", |(_, domain)| domain)
}

impl MailKind {
    /// As it is stored.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Welcome => "welcome",
            Self::Goodbye => "goodbye",
        }
    }

    /// The one that is stored so.
    pub(super) fn named(name: &str) -> Result<Self, String> {
        let kinds = [Self::Welcome, Self::Goodbye];
        let kind = kinds.into_iter().find(|kind| kind.name() == name);
        kind.ok_or_else(|| format!("{name:?} is no kind of mail"))
    }

    /// What stands before the name in the subject, and after it in the mail.
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Welcome => ("Welcome", "it is good to have you here."),
            Self::Goodbye => ("Goodbye", "your account is closed. Farewell."),
        }
    }
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
