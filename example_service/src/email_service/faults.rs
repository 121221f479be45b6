//! Mailboxes that fail, by their address; for the demo, and only where `EMAIL_SERVICE__FAULTS` is on.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::mail::MailError;

/// Addresses that begin so are not served for a while after their first mail.
pub const FLAKY: &str = "flaky-";
/// Addresses that begin so are never served.
pub const BROKEN: &str = "broken-";
/// How long a flaky mailbox is not served: longer than the retries in place take, and the first tier.
pub(super) const FLAKY_FOR: Duration = Duration::from_secs(2);

/// Which mailboxes fail.
#[derive(Debug)]
pub struct Faults {
    flaky_for: Duration,
    /// When a flaky mailbox got its first mail.
    first: Mutex<HashMap<String, Instant>>,
}

impl Default for Faults {
    fn default() -> Self {
        Self::new(FLAKY_FOR)
    }
}

impl Faults {
    /// Flaky ones fail for so long.
    pub fn new(flaky_for: Duration) -> Self {
        Self { flaky_for, first: Mutex::default() }
    }

    /// Tries a mailbox.
    ///
    /// # Errors
    /// When it fails.
    pub fn check(&self, address: &str) -> Result<(), MailError> {
        if self.fails(address) { Err(MailError::NotNow(None)) } else { Ok(()) }
    }

    fn fails(&self, address: &str) -> bool {
        if address.starts_with(BROKEN) {
            return true;
        }
        if !address.starts_with(FLAKY) {
            return false;
        }
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        first.entry(address.to_owned()).or_insert_with(Instant::now).elapsed() < self.flaky_for
    }
}
