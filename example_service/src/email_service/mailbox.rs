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
    pub mails: usize,
    pub failed_tries: usize,
}

/// Whose mails are looked at; without a wish, everybody's.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Whose {
    pub user_id: Option<Uuid>,
    /// What stands behind the address's `@`.
    pub domain: Option<String>,
}

impl Whose {
    fn is(&self, user: Uuid, address: &str) -> bool {
        self.user_id.is_none_or(|wanted| wanted == user)
            && self.domain.as_ref().is_none_or(|wanted| {
                address.split_once('@').is_some_and(|(_, domain)| domain == wanted)
            })
    }
}

/// What was sent and what failed, lately. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub struct Mailbox(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    mails: VecDeque<Delivered>,
    failed: VecDeque<FailedTry>,
    /// How many mails were taken, those included that are kept no longer.
    taken: u64,
}

impl Mailbox {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Mails in the order in which they were taken, the newest `limit` of them.
    pub fn mails(&self, whose: &Whose, limit: usize) -> Vec<Delivered> {
        newest(&self.kept().mails, limit, |kept| whose.is(kept.mail.user_id, &kept.mail.to))
    }

    /// Failed tries in their order, the newest `limit` of them.
    pub fn failed_tries(&self, whose: &Whose, limit: usize) -> Vec<FailedTry> {
        newest(&self.kept().failed, limit, |kept| whose.is(kept.user_id, &kept.to))
    }

    /// How much is kept.
    pub fn tally(&self, whose: &Whose) -> Tally {
        let kept = self.kept();
        let mail = |kept: &&Delivered| whose.is(kept.mail.user_id, &kept.mail.to);
        let failed = |kept: &&FailedTry| whose.is(kept.user_id, &kept.to);
        Tally {
            mails: kept.mails.iter().filter(mail).count(),
            failed_tries: kept.failed.iter().filter(failed).count(),
        }
    }

    /// Notes that a mail was not taken.
    pub fn note_failure(&self, mail: &Mail, error: String) {
        let mut kept = self.kept();
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
        kept.taken += 1;
        let number = kept.taken;
        push(&mut kept.mails, Delivered { number, mail: mail.clone(), delivered_at: Utc::now() });
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
