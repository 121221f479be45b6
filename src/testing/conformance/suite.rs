//! Runs behaviours against a subject.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::{FutureExt, StreamExt};
use tokio::time::Instant;

use super::trial::Trial;
use super::{Behaviour, Entry, Outcome, Report, Subject, behaviours};
use crate::event::EventId;

/// The behaviours, put to one subject.
pub struct Suite {
    subject: Arc<dyn Subject>,
    wanted: Box<dyn Fn(&Behaviour) -> bool + Send + Sync>,
    at_once: usize,
}

impl Suite {
    /// All behaviours, four at a time.
    pub fn new(subject: impl Subject) -> Self {
        Self { subject: Arc::new(subject), wanted: Box::new(|_| true), at_once: 4 }
    }

    /// Runs those behaviours only that `wanted` accepts.
    #[must_use]
    pub fn only(mut self, wanted: impl Fn(&Behaviour) -> bool + Send + Sync + 'static) -> Self {
        self.wanted = Box::new(wanted);
        self
    }

    /// How many behaviours run at a time; 1 at least. Default 4. They share the broker and nothing
    /// else.
    #[must_use]
    pub fn at_once(mut self, behaviours: usize) -> Self {
        self.at_once = behaviours.max(1);
        self
    }

    /// Runs them. Wants a tokio runtime with time enabled.
    pub async fn run(&self) -> Report {
        let run = EventId::new().to_string();
        let wanted = behaviours().filter(|behaviour| (self.wanted)(behaviour)).enumerate();
        let one = |(index, behaviour): (usize, &'static Behaviour)| {
            let prefix = format!("{}{run}.{index}", self.subject.prefix());
            self.one(behaviour, prefix)
        };
        let entries = futures::stream::iter(wanted).map(one).buffered(self.at_once).collect();
        Report { subject: self.subject.name().to_owned(), entries: entries.await }
    }

    async fn one(&self, behaviour: &'static Behaviour, prefix: String) -> Entry {
        let began = Instant::now();
        let limits = self.subject.limits();
        let trial = Trial::new(self.subject.clone(), limits, prefix);
        let running = AssertUnwindSafe((behaviour.run)(&trial)).catch_unwind();
        let failed = match tokio::time::timeout(limits.behaviour, running).await {
            Ok(Ok(verdict)) => verdict.err().map(|failure| failure.to_string()),
            Ok(Err(_)) => Some("a panic".into()),
            Err(_) => Some(format!("not finished within {:?}", limits.behaviour)),
        };
        trial.end().await;
        let lacks = self.subject.lacks();
        let lack = lacks.into_iter().find(|lack| behaviour.needs.contains(&lack.capability));
        let outcome = match (failed, lack) {
            (None, None) => Outcome::Passed,
            (None, Some(lack)) => Outcome::PassedUnexpectedly { lack },
            (Some(why), None) => Outcome::Failed { why },
            (Some(seen), Some(lack)) => Outcome::Lacks { lack, seen },
        };
        Entry { behaviour, outcome, took: began.elapsed() }
    }
}

impl std::fmt::Debug for Suite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Suite").field(&self.subject.name()).finish()
    }
}
