//! What the mailbox holds, as others see it and as its tables have it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::mail::{Mail, MailKind, domain};

/// A mail that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredMail {
    /// Its place among all that were kept, from 1. There may be gaps.
    pub number: i64,
    #[serde(flatten)]
    pub mail: Mail,
    /// When somebody had it: this mailbox, or SMTP where that is configured. Until then null.
    pub delivered_at: Option<DateTime<Utc>>,
    /// How often it was taken to SMTP.
    pub tries: u32,
    /// What SMTP said last, where that was no yes.
    pub error: Option<String>,
}

/// A mail that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedTry {
    pub kind: MailKind,
    pub user_id: Uuid,
    pub to: String,
    /// Which delivery of the event it was, from 1, where a handler failed: retries in place have the
    /// same number. Which try it was, where SMTP did not take it.
    pub attempt: u32,
    pub error: String,
    pub failed_at: DateTime<Utc>,
}

/// How much there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    pub mails: i64,
    /// Of these, how many SMTP has not taken.
    pub unsent: i64,
    pub failed_tries: i64,
}

/// Whose mails are looked at; without a wish, everybody's.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Whose {
    pub user_id: Option<Uuid>,
    /// What stands behind the address's `@`.
    pub domain: Option<String>,
}

impl FailedTry {
    /// A mail was not taken just now.
    pub fn now(mail: &Mail, attempt: u32, error: String) -> Self {
        Self {
            kind: mail.kind,
            user_id: mail.user_id,
            to: mail.to.clone(),
            attempt,
            error,
            failed_at: Utc::now(),
        }
    }

    pub(super) fn domain(&self) -> &str {
        domain(&self.to)
    }
}

/// A row of `mails`.
#[derive(sqlx::FromRow)]
pub(super) struct Row {
    number: i64,
    event_id: String,
    kind: String,
    user_id: Uuid,
    recipient: String,
    subject: String,
    body: String,
    attempt: i64,
    occurred_at: DateTime<Utc>,
    delivered_at: Option<DateTime<Utc>>,
    tries: i64,
    error: Option<String>,
}

impl Row {
    pub(super) fn mail(self) -> Result<StoredMail, sqlx::Error> {
        Ok(StoredMail {
            number: self.number,
            mail: Mail {
                event_id: self.event_id,
                kind: MailKind::named(&self.kind).map_err(sqlx::Error::decode)?,
                user_id: self.user_id,
                to: self.recipient,
                subject: self.subject,
                body: self.body,
                attempt: number(self.attempt),
                occurred_at: self.occurred_at,
            },
            delivered_at: self.delivered_at,
            tries: number(self.tries),
            error: self.error,
        })
    }
}

/// A row of `mail_tries`.
#[derive(sqlx::FromRow)]
pub(super) struct TryRow {
    kind: String,
    user_id: Uuid,
    recipient: String,
    attempt: i64,
    error: String,
    failed_at: DateTime<Utc>,
}

impl TryRow {
    pub(super) fn failed(self) -> Result<FailedTry, sqlx::Error> {
        Ok(FailedTry {
            kind: MailKind::named(&self.kind).map_err(sqlx::Error::decode)?,
            user_id: self.user_id,
            to: self.recipient,
            attempt: number(self.attempt),
            error: self.error,
            failed_at: self.failed_at,
        })
    }
}

/// Databases have no unsigned numbers.
fn number(stored: i64) -> u32 {
    u32::try_from(stored).unwrap_or_default()
}
