//! Whether a client was killed, known to all that it has made.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::broker::Refusal;
use crate::error::ErrorClass;
use crate::transport::TransportError;

/// Set once. It is asked with the broker held, so nothing is done for the client after it.
#[derive(Debug, Clone, Default)]
pub(super) struct Killed(Arc<AtomicBool>);

impl Killed {
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// Refuses where it is set.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        if self.is_set() { Err(Refusal::Killed) } else { Ok(()) }
    }
}

/// What a call of a killed client answers.
pub(super) fn killed(call: &str) -> TransportError {
    TransportError {
        what: format!("{call}: {}", Refusal::Killed),
        class: ErrorClass::Fatal,
        source: None,
    }
}
