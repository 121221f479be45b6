//! The service's own mailbox: mails are kept in memory and listed over HTTP, where no SMTP server is configured.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::mail::{Mail, MailError, MailKind, Mailer};

/// The most mails, and the most failures, that are kept; the oldest go first.
const KEPT: usize = 100_000;

/// A mail that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivered {
    /// Its place among all that were taken, from 1.
    pub number: u64,
    #[serde(flatten)]
    pub mail: Mail,
    pub delivered_at: DateTime<Utc>,
}

/// A mail that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedTry {
    pub kind: MailKind,
    pub user_id: Uuid,
    pub to: String,
    /// Which delivery of the event it was, from 1. Retries in place have the same number.
    pub attempt: u32,
    pub error: String,
    pub failed_at: DateTime<Utc>,
}

/// How much there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    pub mails: u64,
    pub failed_tries: u64,
}

/// What was sent and what failed, lately. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub struct Mailbox(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    mails: VecDeque<Delivered>,
    failed: VecDeque<FailedTry>,
    tally: Tally,
}

impl Mailbox {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Mails in the order in which they were taken, the newest `limit` of them.
    pub fn mails(&self, user: Option<Uuid>, limit: usize) -> Vec<Delivered> {
        newest(&self.kept().mails, limit, |kept| user.is_none_or(|user| kept.mail.user_id == user))
    }

    /// Failed tries in their order, the newest `limit` of them.
    pub fn failed_tries(&self, user: Option<Uuid>, limit: usize) -> Vec<FailedTry> {
        newest(&self.kept().failed, limit, |kept| user.is_none_or(|user| kept.user_id == user))
    }

    /// How much there was, what is kept no longer included.
    pub fn tally(&self) -> Tally {
        self.kept().tally
    }

    /// Notes that a mail was not taken.
    pub fn note_failure(&self, mail: &Mail, error: String) {
        let mut kept = self.kept();
        kept.tally.failed_tries += 1;
        push(
            &mut kept.failed,
            FailedTry {
                kind: mail.kind,
                user_id: mail.user_id,
                to: mail.to.clone(),
                attempt: mail.attempt,
                error,
                failed_at: Utc::now(),
            },
        );
    }
}

#[async_trait]
impl Mailer for Mailbox {
    async fn send(&self, mail: &Mail) -> Result<(), MailError> {
        let mut kept = self.kept();
        kept.tally.mails += 1;
        let number = kept.tally.mails;
        push(
            &mut kept.mails,
            Delivered { number, mail: mail.clone(), delivered_at: Utc::now() },
        );
        Ok(())
    }
}

fn push<T>(kept: &mut VecDeque<T>, one: T) {
    if kept.len() == KEPT {
        kept.pop_front();
    }
    kept.push_back(one);
}

fn newest<T: Clone>(kept: &VecDeque<T>, limit: usize, wanted: impl Fn(&T) -> bool) -> Vec<T> {
    let mut newest: Vec<T> =
        kept.iter().rev().filter(|one| wanted(one)).take(limit).cloned().collect();
    newest.reverse();
    newest
}
