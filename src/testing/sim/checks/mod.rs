//! What must hold of everything that happened in a world.

mod books;
mod concluded;
mod progress;
mod published;
mod repeats;
mod results;
mod stored;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;

use self::books::Books;
use super::contract::Contract;
use super::journal::{Entry, Place, What};

/// What kind of promise was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Class {
    /// An event that somebody was told is published, or that a handler answered, is not stored as
    /// promised, or too often; or an event is stored that must not be.
    Unpublished,
    /// A handler that an event is addressed to never finished it, and no dead letter keeps it.
    EffectLost,
    /// A handler ran again for a record, and nothing that happened explains it.
    EffectDoubled,
    /// An event of a key began before an earlier one of that key was concluded.
    OutOfOrder,
    /// An event of a retry topic ran before its time.
    Early,
    /// A commit passed an event that was not concluded.
    CommittedUnfinished,
    /// A commit put its group's place in a partition back.
    CommitMovedBack,
    /// Something was left to be done long after faults had ended, or a stop left something.
    Stuck,
    /// Attempts did not rise by one, or an event went round too often.
    Attempts,
    /// A task of a process panicked.
    Panicked,
}

/// A promise that was broken.
#[derive(Debug, Clone)]
pub struct Violation {
    /// What kind.
    pub class: Class,
    /// What was found.
    pub what: String,
    /// The entry at which it was.
    pub(super) at: usize,
    /// The records that it is about, wherever they went.
    pub(super) about: BTreeSet<Place>,
}

impl Violation {
    fn new(
        class: Class,
        at: usize,
        about: impl IntoIterator<Item = Place>,
        what: impl Into<String>,
    ) -> Self {
        Self { class, what: what.into(), at, about: about.into_iter().collect() }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unpublished => "unpublished",
            Self::EffectLost => "effect-lost",
            Self::EffectDoubled => "effect-dup",
            Self::OutOfOrder => "order-inversion",
            Self::Early => "early-retry",
            Self::CommittedUnfinished => "commit-past-unfinished",
            Self::CommitMovedBack => "commit-moved-back",
            Self::Stuck => "stuck",
            Self::Attempts => "attempts",
            Self::Panicked => "panic",
        })
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.class, self.what)
    }
}

/// Everything that is wrong, in the order in which it happened.
pub(super) fn all(
    entries: &[Entry],
    contract: &Contract,
    stuck: Vec<String>,
    unclean: Vec<String>,
) -> Vec<Violation> {
    let books = Books::new(entries, contract);
    let mut violations = progress::check(&books);
    violations.extend(published::check(&books));
    violations.extend(repeats::check(&books));
    for (at, entry) in entries.iter().enumerate() {
        if let What::Panicked { message } = &entry.what {
            violations.push(Violation::new(Class::Panicked, at, [], message.clone()));
        }
    }
    let settled = stuck.is_empty();
    violations.extend(stored::check(&books, settled));
    if settled {
        violations.extend(results::lost(&books));
    }
    let end = entries.len();
    let stuck = stuck.into_iter().map(|what| Violation::new(Class::Stuck, end, [], what));
    violations.extend(stuck);
    if settled {
        violations.extend(unclean.into_iter().map(|who| {
            Violation::new(Class::Stuck, end, [], format!("{who} left something at its stop"))
        }));
    }
    violations.sort_by_key(|violation| violation.at);
    violations
}
