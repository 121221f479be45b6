//! Where an event goes that its handler could not finish: a tier, the dead letters, quarantine.

use super::assignment::Assignment;
use super::forward::{Address, Failure, Times};
use super::handler::Registered;
use super::health::Counts;
use super::outcome::FailureKind;
use super::plan::Place;
use super::read::Past;
use super::work::{Fault, Finish, Work, at};
use crate::event::header;
use crate::transport::{Aside, Received, Record, Step, StepKind};

impl Work {
    /// To the next tier, or to where no retry follows.
    pub(super) async fn failed(
        &self,
        assignment: &Assignment,
        record: &Received,
        handler: &Registered,
        fault: &Fault,
    ) -> Finish {
        let Fault { kind, message, past, times } = fault;
        let Place { main, tier } = &assignment.place;
        let next = tier.map_or(0, |tier| tier + 1);
        match (kind, main.around.tiers.get(next)) {
            (FailureKind::Transient, Some((tier, topic))) => {
                let address =
                    Address { group: &self.shared.group, handler: Some((&handler.name, *past)) };
                let failure = Failure { kind: kind.as_str(), message, times: *times };
                let tier = (topic, tier.delay());
                let moved = self.forward.retry(
                    record,
                    assignment.place.tier.is_some(),
                    tier,
                    &address,
                    &failure,
                );
                // Said outside of the spans: their fields would bury the line.
                tracing::info!(
                    parent: None,
                    record = at(record), handler = &*handler.name, to = %topic, error = message,
                    "the handler failed; it is tried again later"
                );
                self.moved(assignment, record, &moved, Aside::Retry).await
            }
            _ => {
                let failure = Failure { kind: kind.as_str(), message, times: *times };
                self.dead_letter(assignment, record, Some((&handler.name, *past)), &failure).await
            }
        }
    }

    pub(super) async fn dead_letter(
        &self,
        assignment: &Assignment,
        record: &Received,
        handler: Option<(&str, Past)>,
        failure: &Failure<'_>,
    ) -> Finish {
        let Failure { kind, message, .. } = *failure;
        let Some(topic) = &assignment.place.main.around.dead_letter else {
            tracing::error!(
                record = at(record),
                kind,
                error = message,
                "dropped: dead letters are off"
            );
            Counts::one(&self.counts.dropped);
            self.saw(record, StepKind::Dropped { reason: message });
            return Finish::Done { moved: false };
        };
        let address = Address { group: &self.shared.group, handler };
        let handler = handler.map_or("", |(name, _)| name);
        tracing::warn!(parent: None, record = at(record), handler, to = %topic, kind, error = message, "dead letter");
        let on_tier = assignment.place.tier.is_some();
        let moved = self.forward.aside(record, on_tier, topic, &address, failure);
        self.moved(assignment, record, &moved, Aside::DeadLetter).await
    }

    pub(super) async fn quarantine(
        &self,
        assignment: &Assignment,
        record: &Received,
        message: &str,
        times: Times,
    ) -> Finish {
        let topic = &assignment.place.main.around.quarantine;
        let failure = Failure { kind: FailureKind::Undecodable.as_str(), message, times };
        let address = Address { group: &self.shared.group, handler: None };
        tracing::warn!(parent: None, record = at(record), to = %topic, error = message, "quarantine");
        let on_tier = assignment.place.tier.is_some();
        let moved = self.forward.aside(record, on_tier, topic, &address, &failure);
        self.moved(assignment, record, &moved, Aside::Quarantine).await
    }

    async fn moved(
        &self,
        assignment: &Assignment,
        received: &Received,
        record: &Record,
        aside: Aside,
    ) -> Finish {
        if !self.forward.send(received, record, assignment, &self.health).await {
            return Finish::Abandoned;
        }
        Counts::one(match aside {
            Aside::Retry => &self.counts.retried,
            Aside::DeadLetter => &self.counts.dead_lettered,
            Aside::Quarantine => &self.counts.quarantined,
        });
        if let Some(observer) = &self.observer {
            // Whose retry or dead letter it is stands on the record, put there a moment ago.
            let attempt = record.headers.get_str(header::RETRY_ATTEMPT);
            observer.saw(&Step {
                group: &self.shared.group,
                record: received,
                metadata: None,
                handler: record.headers.get_str(header::RETRY_HANDLER),
                attempt: attempt.and_then(|text| text.parse().ok()).unwrap_or_default(),
                what: StepKind::Moved { to: &record.topic, aside },
            });
        }
        Finish::Done { moved: true }
    }
}
