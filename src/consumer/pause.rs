//! Why a partition is paused. It is resumed when no reason is left, whoever had which.

/// A reason to fetch no more of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reason {
    /// The user asked for it.
    User = 1,
    /// Enough of it is in memory.
    Backpressure = 2,
    /// Its next events are not due yet.
    NotDue = 4,
    /// A failed event can be put nowhere: the retry or dead-letter topic does not take it.
    FailurePath = 8,
    /// A handler says that the world is down, or what it answered cannot be published.
    Outage = 16,
}

/// What has to be told to the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Pause,
    Resume,
}

/// The reasons that hold now.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pauses(u8);

impl Pauses {
    /// Sets whether a reason holds; answers what changes by it.
    pub(super) fn set(&mut self, reason: Reason, holds: bool) -> Option<Change> {
        let before = self.0;
        self.0 = if holds { before | reason as u8 } else { before & !(reason as u8) };
        match (before, self.0) {
            (0, after) if after != 0 => Some(Change::Pause),
            (before, 0) if before != 0 => Some(Change::Resume),
            _ => None,
        }
    }

    /// Whether there is a reason beside that of a tier's time.
    pub(super) fn but_not_due(self) -> bool {
        self.0 & !(Reason::NotDue as u8) != 0
    }

    pub(super) fn holds(self, reason: Reason) -> bool {
        self.0 & reason as u8 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_paused_for_two_reasons_resumes_only_when_both_are_gone() {
        for (first, second) in [(Reason::User, Reason::NotDue), (Reason::NotDue, Reason::User)] {
            let mut pauses = Pauses::default();
            assert_eq!(pauses.set(first, true), Some(Change::Pause));
            assert_eq!(pauses.set(second, true), None);
            assert_eq!(pauses.set(first, false), None, "{second:?} still holds");
            assert!(pauses.holds(second));
            assert_eq!(pauses.set(second, false), Some(Change::Resume));
            assert_eq!(pauses.set(second, false), None, "not resumed twice");
        }
    }
}
