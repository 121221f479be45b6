//! Events that are kept while the world is down, or what follows from them cannot be published.

use super::assignment::{Assignment, Counted};
use super::delivery::Delivery;
use super::health::Blocked;
use super::outcome::{FailureKind, HandlerError, Outcome};
use super::owed::{NotYet, Unpublished};
use super::pause::Reason;
use super::work::{Turn, Verdict, Work};
use crate::transport::StepKind;

/// An event waits for the world: its partition is paused, and health says so.
pub(super) struct Outage<'a> {
    _counted: Counted<'a>,
    blocked: Blocked<'a>,
}

impl<'a> Outage<'a> {
    pub(super) fn begin(work: &'a Work, assignment: &'a Assignment, why: String) -> Self {
        let partition = assignment.partition.to_string();
        tracing::warn!(partition, why, "an outage; the partition's events are kept");
        Self {
            _counted: Counted::new(&assignment.outage),
            blocked: work.health.block(partition, Reason::Outage, why),
        }
    }
}

impl Work {
    /// Keeps what follows from an event until it can be published; its handler is not called again for that, and holds
    /// no slot.
    ///
    /// # Errors
    /// Where some of it can never be published.
    pub(super) async fn publish_later(
        &self,
        turn: Turn<'_>,
        delivery: &Delivery,
        left: Box<Unpublished>,
    ) -> Result<Verdict, HandlerError> {
        let (assignment, Unpublished { mut why, mut owed }) = (turn.assignment, *left);
        let told = |why: &str| {
            let (kind, handler) = (FailureKind::Outage.as_str(), delivery.handler());
            self.delivery_saw(delivery, StepKind::Failed { kind, error: why });
            format!("what {handler:?} answered cannot be published: {why}")
        };
        let outage = Outage::begin(self, assignment, told(&why));
        let mut probes = 0;
        loop {
            probes += 1;
            let wait = self.probe.delay(probes);
            tracing::debug!(error = why, ?wait, "publishing again");
            if !assignment.wait(wait).await {
                return Ok(Verdict::Abandoned);
            }
            let published = tokio::select! {
                // The revoke first: a publish that is only begun leaves records on their way.
                biased;
                () = assignment.revoked() => return Ok(Verdict::Abandoned),
                published = owed.publish() => published,
            };
            why = match published {
                Ok(()) => {
                    owed.tell(Ok(())).await;
                    self.concluded(delivery, &Outcome::Ack);
                    return Ok(Verdict::Done);
                }
                Err(NotYet::Later(why)) => why,
                Err(NotYet::Never(error)) => {
                    owed.tell(Err(&error)).await;
                    return Err(error);
                }
            };
            outage.blocked.say(told(&why));
        }
    }
}
