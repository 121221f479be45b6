//! Everything that is done with one record, from reading it to the last of its handlers.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures::FutureExt;
use tracing::{Instrument, Span};

use super::assignment::Assignment;
use super::batch::BatchRecord;
use super::delivery::{Delivery, ReceivedEvent, Shared};
use super::forward::{Failure, Forward, Times};
use super::handler::Registered;
use super::health::{Counts, MemberHealth};
use super::outage::Outage;
use super::outcome::{FailureKind, Handled, HandlerError, Outcome};
use super::owed::Answered;
use super::read::{Past, Policies, Reading};
use super::slots::Slots;
use crate::codec::envelope;
use crate::event::Flow;
use crate::inbox::Transact;
use crate::retry::{Backoff, Chance, RetryPolicy};
use crate::telemetry;
use crate::transport::{Observer, Received, Step, StepKind};

/// What one member's work shares.
#[derive(Clone)]
pub(super) struct Work {
    pub(super) shared: Arc<Shared>,
    pub(super) policies: Policies,
    pub(super) retry: RetryPolicy,
    pub(super) handler_timeout: Duration,
    pub(super) forward: Arc<Forward>,
    pub(super) counts: Arc<Counts>,
    pub(super) health: Arc<MemberHealth>,
    pub(super) system: &'static str,
    pub(super) probe: Backoff,
    pub(super) chance: Chance,
    pub(super) observer: Option<Arc<dyn Observer>>,
    /// What handlers run in that ask for a transaction.
    pub(super) inbox: Option<Arc<dyn Transact>>,
}

/// How the work on a record ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Finish {
    /// Its offset may be committed; at once where it has moved to another topic.
    Done { moved: bool },
    /// The assignment was revoked before a handler had begun: the offset stays uncommitted.
    NotBegun,
    /// The assignment was revoked before the handlers had finished: the offset stays uncommitted.
    Abandoned,
    /// The consumer must end.
    Fatal(String),
}

impl Finish {
    /// How an event's work ended, of which two handlers ended so.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Fatal(why), _) | (_, Self::Fatal(why)) => Self::Fatal(why),
            (Self::NotBegun, Self::NotBegun) => Self::NotBegun,
            (Self::Abandoned | Self::NotBegun, _) | (_, Self::Abandoned | Self::NotBegun) => {
                Self::Abandoned
            }
            (Self::Done { moved: a }, Self::Done { moved: b }) => Self::Done { moved: a || b },
        }
    }
}

/// Where an event stands: its assignment, its place in the ledger there, and what it runs in.
#[derive(Clone, Copy)]
pub(super) struct Turn<'a> {
    pub(super) assignment: &'a Arc<Assignment>,
    pub(super) place: u64,
    /// The event has one handler to run.
    pub(super) alone: bool,
    slots: &'a Slots,
}

/// How a handler's work on an event ended; `Err` says why it cannot read the event. One copy of the record is
/// quarantined for all of its handlers.
type Ended = Result<Finish, Box<Fault>>;

/// What a handler failed with that is not tried again in place.
pub(super) struct Fault {
    pub(super) kind: FailureKind,
    pub(super) message: String,
    /// What has failed so far, this too.
    pub(super) past: Past,
    pub(super) times: Times,
}

/// How one handler ended.
pub(super) enum Verdict {
    Done,
    /// It had handled the event before.
    Duplicate,
    Failed(Box<Fault>),
    NotBegun,
    Abandoned,
}

/// What is rarely taken is boxed, so that the future of an event that goes well stays small: there is one for
/// each event.
impl Work {
    /// The same for one shard.
    pub(super) fn apart(&self) -> Arc<Self> {
        let shared = Arc::new(Shared::clone(&self.shared));
        Arc::new(Self { shared, ..self.clone() })
    }

    /// Works on a record until it is done, or its assignment is revoked.
    pub(super) async fn on(
        &self,
        assignment: &Arc<Assignment>,
        place: u64,
        record: &BatchRecord,
        slots: &Slots,
    ) -> Finish {
        match self.policies.read(&assignment.place, record) {
            Reading::Run { event, handlers, past } => {
                let span = self.receiving(&event);
                let turn = Turn { assignment, place, alone: handlers.len() == 1, slots };
                let run = pin!(self.run(turn, event, handlers, past));
                run.instrument(span).await
            }
            Reading::AskedTheTime => {
                self.saw(record, StepKind::Skipped);
                Finish::Done { moved: false }
            }
            Reading::Skip => {
                Counts::one(&self.counts.skipped);
                self.saw(record, StepKind::Skipped);
                Finish::Done { moved: false }
            }
            Reading::DeadLetter { .. } | Reading::Quarantine { .. } if !assignment.begin(place) => {
                Finish::NotBegun
            }
            Reading::DeadLetter { reason, handler, past } => {
                let handler = handler.as_deref().map(|handler| (handler, past));
                let times = self.forward.now();
                let failure = Failure { kind: "unknown", message: &reason, times };
                Box::pin(self.dead_letter(assignment, record, handler, &failure)).await
            }
            Reading::Quarantine { reason } => {
                let times = self.forward.now();
                Box::pin(self.quarantine(assignment, record, &reason, times)).await
            }
            Reading::Fail { reason } => Finish::Fatal(format!("{}: {reason}", at(record))),
        }
    }

    /// Whether where a partition stands is stored with what handlers write.
    pub(super) fn keeps_offsets(&self) -> bool {
        self.inbox.as_ref().is_some_and(|inbox| inbox.keeps_offsets())
    }

    fn receiving(&self, event: &ReceivedEvent) -> Span {
        let ReceivedEvent { record, incoming } = event;
        let span = crate::receive_span!(
            self.system,
            record.topic.as_str(),
            record.partition,
            record.offset,
            &*self.shared.group
        );
        if !span.is_disabled() {
            let metadata = &incoming.metadata;
            span.record("messaging.message.id", tracing::field::display(&metadata.id));
            if let Some(trace) = &metadata.trace {
                telemetry::follow(&span, trace);
            }
        }
        span
    }

    async fn run(
        &self,
        turn: Turn<'_>,
        event: Arc<ReceivedEvent>,
        handlers: &[Arc<Registered>],
        past: Past,
    ) -> Finish {
        let ended = match handlers {
            [handler] => self.one(turn, &event, handler, past).await,
            _ => Box::pin(self.each(turn, &event, handlers, past)).await,
        };
        match ended {
            Ok(finish) => finish,
            Err(fault) => {
                let Fault { message, times, .. } = *fault;
                Box::pin(self.quarantine(turn.assignment, &event.record, &message, times)).await
            }
        }
    }

    /// All handlers side by side.
    async fn each(
        &self,
        turn: Turn<'_>,
        event: &Arc<ReceivedEvent>,
        handlers: &[Arc<Registered>],
        past: Past,
    ) -> Ended {
        let all = handlers.iter().map(|handler| self.one(turn, event, handler, past));
        let (mut finish, mut unreadable) = (None, None);
        for ended in futures::future::join_all(all).await {
            match ended {
                Ok(other) => {
                    finish = Some(match finish {
                        Some(finish) => Finish::and(finish, other),
                        None => other,
                    });
                }
                Err(why) => unreadable = unreadable.or(Some(why)),
            }
        }
        match (finish, unreadable) {
            // It will be worked on again, by all of them.
            (Some(Finish::NotBegun), Some(_)) => Ok(Finish::Abandoned),
            (Some(Finish::Done { .. }) | None, Some(why)) => Err(why),
            (finish, _) => Ok(finish.unwrap_or(Finish::Done { moved: false })),
        }
    }

    /// One handler with its immediate retries, and what follows when they are used up.
    async fn one(
        &self,
        turn: Turn<'_>,
        event: &Arc<ReceivedEvent>,
        handler: &Arc<Registered>,
        past: Past,
    ) -> Ended {
        let record = &event.record;
        let mut delivery = Delivery {
            event: event.clone(),
            handler: handler.number,
            delivery: past.deliveries.saturating_add(1),
            attempt: past.calls.saturating_add(1),
            shared: self.shared.clone(),
            held: None,
            assignment: handler.needs.revoke.then(|| turn.assignment.clone()),
        };
        let span = crate::handle_span!(
            self.system,
            record.topic.as_str(),
            record.partition,
            record.offset,
            &*self.shared.group,
            &*handler.name,
            delivery.delivery
        );
        if !span.is_disabled() {
            let id = &event.incoming.metadata.id;
            span.record("messaging.message.id", tracing::field::display(id));
        }
        let mut flow = event.incoming.metadata.flow();
        flow.trace = telemetry::trace_of(&span).or(flow.trace);
        // Pinned before it is wrapped: what wraps it would move it, and it is large.
        let attempts = pin!(self.attempts(turn, handler, &mut delivery));
        let verdict = flow.scope(attempts).instrument(span.clone()).await;
        let outcome = match &verdict {
            Verdict::Done => "done",
            Verdict::Duplicate => "duplicate",
            Verdict::Failed(fault) => fault.kind.as_str(),
            Verdict::NotBegun => "not begun",
            Verdict::Abandoned => "abandoned",
        };
        span.record("tidings.outcome", outcome);
        Ok(match verdict {
            Verdict::Done | Verdict::Duplicate => Finish::Done { moved: false },
            Verdict::NotBegun => Finish::NotBegun,
            Verdict::Abandoned => Finish::Abandoned,
            Verdict::Failed(fault) => {
                span.record("error.type", fault.kind.as_str());
                if fault.kind == FailureKind::Undecodable {
                    return Err(fault);
                }
                let failed = self.failed(turn.assignment, record, handler, &fault);
                Box::pin(failed).instrument(span).await
            }
        })
    }

    async fn attempts(
        &self,
        turn: Turn<'_>,
        handler: &Registered,
        delivery: &mut Delivery,
    ) -> Verdict {
        let Turn { assignment, place, slots, .. } = turn;
        let (mut retries, mut probes) = (0, 0);
        let (mut outage, mut first) = (None, None);
        loop {
            let room = assignment.room().await;
            let slot = slots.take().await;
            if !assignment.begin(place) {
                return Verdict::NotBegun;
            }
            let error = if handler.transactional {
                match Box::pin(self.in_transaction(turn, handler, delivery)).await {
                    Ok(verdict) => return verdict,
                    Err(error) => error,
                }
            } else {
                self.delivery_saw(delivery, StepKind::Begun);
                match self.attempt(handler, delivery).await {
                    Ok(handled) => match self.conclude(delivery, handled).await {
                        Ok(()) => return Verdict::Done,
                        Err(error) => error,
                    },
                    Err(error) => error,
                }
            };
            drop((slot, room));
            let error = match error.unpublished() {
                Ok(left) => match Box::pin(self.publish_later(turn, delivery, left)).await {
                    Ok(verdict) => return verdict,
                    Err(error) => error,
                },
                Err(error) => error.classified(&self.shared.classifiers),
            };
            if self.observer.is_some() {
                let (kind, error) = (error.kind().as_str(), error.message());
                self.delivery_saw(delivery, StepKind::Failed { kind, error: &error });
            }
            let now = self.forward.now();
            let times = Times { first: *first.get_or_insert(now.first), ..now };
            let (wait, keeps) = match error.kind() {
                FailureKind::Outage => {
                    probes += 1;
                    outage.get_or_insert_with(|| {
                        let why = format!("a handler reports an outage: {}", error.message());
                        Box::new(Outage::begin(self, assignment, why))
                    });
                    (self.probe.delay(probes), false)
                }
                FailureKind::Transient if retries < self.retry.immediate => {
                    outage = None;
                    retries += 1;
                    delivery.attempt = delivery.attempt.saturating_add(1);
                    (self.retry.backoff.jittered(retries, &self.chance), true)
                }
                kind => {
                    let past = Past { deliveries: delivery.delivery, calls: delivery.attempt };
                    let message = error.message();
                    return Verdict::Failed(Box::new(Fault { kind, message, past, times }));
                }
            };
            tracing::debug!(kind = %error.kind(), error = error.message(), ?wait, "trying again");
            // A revoke has time for a retry in place, and none for the world to come back.
            if keeps {
                Box::pin(tokio::time::sleep(wait)).await;
            } else if !Box::pin(assignment.wait(wait)).await {
                return Verdict::Abandoned;
            }
        }
    }

    /// One call of the handler: bounded in time, and a panic is a failure.
    pub(super) async fn attempt(
        &self,
        handler: &Registered,
        delivery: &Delivery,
    ) -> Result<Handled, HandlerError> {
        in_time(self.handler_timeout, async { handler.call.call(delivery.clone()).await }).await
    }

    /// Publishes what follows from the event; only then it counts as handled.
    async fn conclude(&self, delivery: &Delivery, handled: Handled) -> Result<(), HandlerError> {
        let handled = handled.settled()?;
        if handled.events.is_empty() {
            self.concluded(delivery, &handled.outcome);
            return Ok(());
        }
        Box::pin(self.publish(delivery, handled)).await
    }

    /// Says that a handler has ended well.
    pub(super) fn concluded(&self, delivery: &Delivery, outcome: &Outcome) {
        if let Outcome::Drop { reason } = outcome {
            tracing::info!(reason, handler = delivery.handler(), id = %delivery.metadata().id, "dropped");
            Counts::one(&self.counts.dropped);
            return self.delivery_saw(delivery, StepKind::Dropped { reason });
        }
        Counts::one(&self.counts.handled);
        self.delivery_saw(delivery, StepKind::Done);
    }

    async fn publish(&self, delivery: &Delivery, handled: Handled) -> Result<(), HandlerError> {
        let Handled { outcome, events } = handled;
        let (publisher, flow) = (delivery.publisher(), Flow::current());
        let wrap = |event| envelope(event, publisher.source(), publisher.format(), &flow);
        let envelopes = events.iter().map(wrap).collect::<Result<_, _>>();
        Answered::publish(publisher, envelopes.map_err(HandlerError::permanent)?).await?;
        self.concluded(delivery, &outcome);
        Ok(())
    }

    /// Tells the observer of a step of the consumer's own.
    pub(super) fn saw(&self, record: &Received, what: StepKind<'_>) {
        if let Some(observer) = &self.observer {
            let group = &*self.shared.group;
            let (metadata, handler) = (None, None);
            observer.saw(&Step { group, record, metadata, handler, attempt: 0, what });
        }
    }

    /// Tells the observer of a handler's step.
    pub(super) fn delivery_saw(&self, delivery: &Delivery, what: StepKind<'_>) {
        if let Some(observer) = &self.observer {
            observer.saw(&Step {
                group: &self.shared.group,
                record: delivery.record(),
                metadata: Some(delivery.metadata()),
                handler: Some(delivery.handler()),
                attempt: delivery.delivery,
                what,
            });
        }
    }
}

/// What a user's code answers: bounded in time, and a panic is a failure.
pub(crate) async fn in_time<T>(
    bound: Duration,
    // The call itself may panic too, before there is a future: it belongs inside.
    call: impl Future<Output = Result<T, HandlerError>>,
) -> Result<T, HandlerError> {
    let mut call = pin!(AssertUnwindSafe(call).catch_unwind());
    // Most handlers of a busy consumer are done at their first poll, and need no timer.
    let done = match futures::poll!(call.as_mut()) {
        Poll::Ready(done) => Ok(done),
        Poll::Pending => Box::pin(tokio::time::timeout(bound, call)).await,
    };
    match done {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => Err(HandlerError::transient(panicked(&*panic))),
        Err(_) => {
            Err(HandlerError::transient(format!("the handler did not finish within {bound:?}")))
        }
    }
}

/// Where a record lies, for messages.
pub(super) fn at(record: &Received) -> String {
    format!("{}/{}@{}", record.topic, record.partition, record.offset)
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> String {
    let message = crate::task::message(panic).unwrap_or("(no message)");
    format!("the handler panicked: {message}")
}
