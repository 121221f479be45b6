//! One call of a handler in a transaction: claim, handler, what follows, commit; or nothing at all.
//!
//! What is committed is never committed twice: who comes again finds the claim. So a commit whose
//! answer did not come, and every other doubt, is settled by trying again.

use std::time::Duration;

use super::assignment::Assignment;
use super::delivery::Delivery;
use super::forward::Origin;
use super::handler::Registered;
use super::health::Counts;
use super::outcome::{FailureKind, Handled, HandlerError};
use super::work::{Turn, Verdict, Work};
use crate::inbox::{Held, Transact, Unfinished};
use crate::outbox::AppendError;
use crate::store::{Claim, StoreError};
use crate::transport::StepKind;

/// How long a failed handler waits for the database to take back what it wrote, before it is left to
/// do so by itself.
const ROLL_BACK: Duration = Duration::from_secs(5);

impl Work {
    pub(super) async fn in_transaction(
        &self,
        turn: Turn<'_>,
        handler: &Registered,
        delivery: &Delivery,
    ) -> Result<Verdict, HandlerError> {
        let inbox = &**self.inbox.as_ref().expect("a consumer without one is not built");
        let metadata = delivery.metadata();
        let id = event_id(turn.assignment, delivery);
        let claim = Claim {
            group: delivery.group(),
            handler: &handler.name,
            source: metadata.source.as_str(),
            event: &id,
        };
        // Whoever has the turn is bounded in time, so it comes.
        let may_write = inbox.turn().await;
        let begun = self
            .in_time("open a transaction", inbox.begin(may_write, &claim, self.handler_timeout))
            .await?;
        let Some(held) = begun.map_err(not_begun)? else {
            tracing::debug!(handler = claim.handler, id = %metadata.id, "handled before; not run again");
            Counts::one(&self.counts.duplicates);
            self.delivery_saw(delivery, StepKind::Duplicate);
            return Ok(Verdict::Duplicate);
        };
        self.delivery_saw(delivery, StepKind::Begun);
        let ended = {
            let delivery = Delivery { held: Some(held.clone()), ..delivery.clone() };
            self.attempt(handler, &delivery).await
        };
        match ended.and_then(Handled::settled) {
            Ok(Handled { outcome, events }) => {
                let Turn { assignment, place, alone, .. } = turn;
                let next = assignment.to_store(place, alone);
                let offset = next.map(|next| (assignment.partition.clone(), next));
                let finish = inbox.finish(&held, &claim, &events, offset);
                self.in_time("commit", finish).await?.map_err(not_finished)?;
                if let Some(next) = next {
                    assignment.stored(next);
                }
                self.concluded(delivery, &outcome);
                Ok(Verdict::Done)
            }
            Err(error) => Err(rolled_back(inbox, &held, error).await),
        }
    }

    /// What the database is asked for takes no longer than a handler may; one that does not answer is
    /// away.
    async fn in_time<T>(
        &self,
        what: &'static str,
        asked: impl Future<Output = T>,
    ) -> Result<T, HandlerError> {
        let bound = self.handler_timeout;
        tokio::time::timeout(bound, asked).await.map_err(|_| {
            HandlerError::outage(format!("the database did not {what} within {bound:?}"))
        })
    }
}

/// The failure of a handler whose writes are taken back; an outage where that shows that the database
/// is away, for then that is why it failed.
async fn rolled_back(inbox: &dyn Transact, held: &Held, error: HandlerError) -> HandlerError {
    match tokio::time::timeout(ROLL_BACK, inbox.roll_back(held)).await {
        Ok(Err(StoreError::Database { .. })) if error.kind() == FailureKind::Transient => {
            HandlerError::outage(error.message())
        }
        _ => error,
    }
}

/// Nothing of the handler's has happened: whatever the reason, the event is kept until it has gone.
fn not_begun(error: StoreError) -> HandlerError {
    match error {
        StoreError::Conflict { what: "claim an event", .. } => HandlerError::transient(error),
        _ => HandlerError::outage(error),
    }
}

fn not_finished(error: Unfinished) -> HandlerError {
    match error {
        Unfinished::Kept | Unfinished::Committed => HandlerError::permanent(error),
        Unfinished::Append(AppendError::Envelope(_) | AppendError::Wire(_)) => {
            HandlerError::permanent(error)
        }
        Unfinished::Store(StoreError::Database { .. })
        | Unfinished::Append(AppendError::Store(StoreError::Database { .. })) => {
            HandlerError::outage(error)
        }
        _ => HandlerError::transient(error),
    }
}

/// What the event is known by. A record without an id is known by its place, and by its time too: a
/// topic that is made anew has the same places.
fn event_id(assignment: &Assignment, delivery: &Delivery) -> String {
    let incoming = &delivery.event.incoming;
    let id = incoming.metadata.id.to_string();
    if !incoming.plain {
        return id;
    }
    let origin = Origin::of(delivery.record(), assignment.place.tier.is_some());
    origin.timestamp.map_or_else(|| id.clone(), |at| format!("{id}@{at}"))
}
