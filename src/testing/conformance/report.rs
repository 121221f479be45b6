//! What came out, as a table.

use std::fmt;
use std::time::Duration;

use super::{Behaviour, Lack};

/// What became of a behaviour.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It holds.
    Passed,
    /// It does not hold, and nothing was declared about it.
    Failed {
        /// What was expected, and what was seen.
        why: String,
    },
    /// It does not hold, as was declared.
    Lacks {
        /// What was declared.
        lack: Lack,
        /// What was expected, and what was seen.
        seen: String,
    },
    /// It holds although something that it needs was declared as lacking.
    PassedUnexpectedly {
        /// What was declared.
        lack: Lack,
    },
}

/// One behaviour and what became of it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Entry {
    /// Which.
    pub behaviour: &'static Behaviour,
    /// What became of it.
    pub outcome: Outcome,
    /// How long it took, by tokio's clock.
    pub took: Duration,
}

/// What became of all behaviours. Shown as a table.
#[derive(Debug)]
#[non_exhaustive]
pub struct Report {
    /// The subject's name.
    pub subject: String,
    /// In the order of the suite.
    pub entries: Vec<Entry>,
}

impl Report {
    /// Whether something was tried, nothing failed that was not declared, and everything declared is
    /// true.
    pub fn is_conformant(&self) -> bool {
        !self.entries.is_empty()
            && self
                .entries
                .iter()
                .all(|entry| matches!(entry.outcome, Outcome::Passed | Outcome::Lacks { .. }))
    }

    fn count(&self, which: impl Fn(&Outcome) -> bool) -> usize {
        self.entries.iter().filter(|entry| which(&entry.outcome)).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let passed = self.count(|outcome| *outcome == Outcome::Passed);
        let failed = self.count(|outcome| matches!(outcome, Outcome::Failed { .. }));
        let lacks = self.count(|outcome| matches!(outcome, Outcome::Lacks { .. }));
        let rotten = self.count(|outcome| matches!(outcome, Outcome::PassedUnexpectedly { .. }));
        writeln!(
            f,
            "{}: {} behaviours, {passed} passed, {failed} failed, {lacks} declared as lacking, {rotten} passed unexpectedly",
            self.subject,
            self.entries.len()
        )?;
        writeln!(f)?;
        writeln!(f, "| area | behaviour | result |")?;
        writeln!(f, "| --- | --- | --- |")?;
        for Entry { behaviour, outcome, took } in &self.entries {
            writeln!(
                f,
                "| {} | {} | {outcome} ({:.1} s) |",
                behaviour.area(),
                behaviour.name(),
                took.as_secs_f64()
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("passed"),
            Self::Failed { why } => write!(f, "FAILED: {}", Cell(why)),
            Self::Lacks { lack, seen } => {
                write!(f, "lacks {}: {}; {}", lack.capability, lack.reason, Cell(seen))
            }
            Self::PassedUnexpectedly { lack } => {
                write!(f, "PASSED, but {} is declared as lacking: {}", lack.capability, lack.reason)
            }
        }
    }
}

/// A text that breaks no table.
struct Cell<'a>(&'a str);

impl fmt::Display for Cell<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.replace(['\n', '\r'], " ").replace('|', "\\|"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suite_of_which_nothing_ran_shows_nothing() {
        let mut report = Report { subject: "mine".into(), entries: Vec::new() };
        assert!(!report.is_conformant());
        let behaviour = super::super::behaviours().next().unwrap();
        let (outcome, took) = (Outcome::Passed, Duration::ZERO);
        report.entries.push(Entry { behaviour, outcome, took });
        assert!(report.is_conformant());
    }
}
