//! What can go wrong at a database.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::failed;
use crate::store::StoreError;

/// Something that goes wrong at a database, or on the way to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DatabaseFault {
    /// It answers nobody for so long, and what was open is taken back.
    Away(Duration),
    /// The answer of the next commit is lost.
    AnswerLost {
        /// Whether it was committed all the same.
        committed: bool,
    },
    /// The next call fails, as after a conflict with another transaction.
    Conflict,
}

impl DatabaseFault {
    /// One of any kind, drawn.
    pub(in super::super) fn drawn(rng: &mut fastrand::Rng) -> Self {
        match rng.u8(0..4) {
            0 => Self::Away(Duration::from_millis(rng.u64(1..4_000))),
            1 | 2 => Self::AnswerLost { committed: rng.bool() },
            _ => Self::Conflict,
        }
    }
}

/// The faults that hold, or wait for a call.
#[derive(Debug, Default)]
pub(super) struct Faults {
    away: Option<Instant>,
    answers: VecDeque<bool>,
    conflicts: usize,
}

impl Faults {
    pub(super) fn add(&mut self, fault: DatabaseFault, now: Instant) {
        match fault {
            DatabaseFault::Away(lasts) => self.away = self.away.max(Some(now + lasts)),
            DatabaseFault::AnswerLost { committed } => self.answers.push_back(committed),
            DatabaseFault::Conflict => self.conflicts += 1,
        }
    }

    pub(super) fn heal(&mut self) {
        *self = Self::default();
    }

    pub(super) fn is_away(&self, now: Instant) -> bool {
        self.away.is_some_and(|until| now < until)
    }

    /// What the call at hand fails with, if it does.
    pub(super) fn next(&mut self, what: &'static str) -> Result<(), StoreError> {
        if self.conflicts == 0 {
            return Ok(());
        }
        self.conflicts -= 1;
        Err(StoreError::Conflict { what, source: "a fault".into() })
    }

    /// Whether the answer of the commit at hand is lost, and if so whether it is committed.
    pub(super) fn next_commit(&mut self) -> Option<bool> {
        self.answers.pop_front()
    }
}

/// What a commit says whose answer is lost.
pub(super) fn lost() -> StoreError {
    failed("commit", "the answer is lost")
}
