//! Mailboxes that fail, by their address; for the demo, and only where `EMAIL_SERVICE__FAULTS` is on.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::mail::{Mail, MailError, Mailer};

/// Addresses that begin so are not served for a while after their first mail.
pub const FLAKY: &str = "flaky-";
/// Addresses that begin so are never served.
pub const BROKEN: &str = "broken-";
/// How long a flaky mailbox is not served: longer than the retries in place take, and the first tier.
pub const FLAKY_FOR: Duration = Duration::from_secs(2);

/// A mailer some of whose mailboxes fail.
pub struct FaultyMailbox<M> {
    inner: M,
    /// When a flaky mailbox got its first mail.
    first: Mutex<HashMap<String, Instant>>,
}

impl<M: Mailer> FaultyMailbox<M> {
    pub fn new(inner: M) -> Self {
        Self { inner, first: Mutex::default() }
    }

    fn fails(&self, address: &str) -> bool {
        if address.starts_with(BROKEN) {
            return true;
        }
        if !address.starts_with(FLAKY) {
            return false;
        }
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        first.entry(address.to_owned()).or_insert_with(Instant::now).elapsed() < FLAKY_FOR
    }
}

#[async_trait]
impl<M: Mailer> Mailer for FaultyMailbox<M> {
    async fn send(&self, mail: &Mail) -> Result<(), MailError> {
        if self.fails(&mail.to) {
            return Err(MailError::NotNow(None));
        }
        self.inner.send(mail).await
    }
}
