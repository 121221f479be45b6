//! The way of one message: room, its turn, attempts, and its end, whoever waits for it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep, timeout};
use tracing::Instrument;

use super::aside::History;
use super::attempt::{Attempt, AttemptError};
use super::core::{Core, Phase};
use super::counts::SendOutcome;
use super::turns::Turn;
use super::{
    DeliveryContext, DeliveryHandler, DeliveryStatus, Measured, Message, MessageId, SendError,
    Sent, wire,
};
use crate::error::{ErrorClass, chain, one_line};
use crate::event::Flow;
use crate::task;
use crate::telemetry;
use crate::transport::{Delivered, ProduceError};

/// The longest error text of a status, in bytes.
const REASON: usize = 256;
/// The shortest wait after a refusal, which uses up no retry that would end it.
const REFUSED: Duration = Duration::from_millis(100);

/// What a message comes to.
pub(super) type Outcome = Result<Sent, SendError>;

/// Will say what a message came to.
pub(super) struct Told {
    id: MessageId,
    outcome: oneshot::Receiver<Outcome>,
}

impl Told {
    pub(super) async fn outcome(self) -> Outcome {
        // Its task is no more where the runtime has ended.
        self.outcome.await.unwrap_or_else(|_| {
            let (id, source) = (self.id, ProduceError::Closed.into());
            // How far it had come is not known any more.
            let (attempts, dead_letter, indefinite) = (0, None, true);
            Err(SendError::NotAcknowledged { id, attempts, dead_letter, indefinite, source })
        })
    }
}

/// A message that was given to the producer, until it has come to its end. Dropped before, it has failed.
pub(super) struct Sending {
    core: Arc<Core>,
    delivery: DeliveryContext,
    /// Tells it from another message of the same id.
    number: u64,
    begun: Instant,
    /// There was room for it: from here on it is the producer's to account for.
    taken: bool,
    /// An attempt that has ended, or runs, may have been stored.
    indefinite: bool,
    concluded: bool,
}

impl Core {
    /// Takes a message as a consequence of the current [`Flow`], in the current span; answers what will say what it
    /// came to. From there on nobody has to wait for it.
    ///
    /// # Errors
    /// When it cannot be sent as it is, there is no room for the send wait, or the producer is closed.
    pub(super) async fn take(self: &Arc<Self>, message: &Message) -> Result<Told, SendError> {
        let id = message.id.clone();
        message.check().map_err(|source| SendError::Invalid { id: id.clone(), source })?;
        let (flow, span) = (Flow::current(), tracing::Span::current());
        let mut sending = Sending::begin(self.clone(), message);
        let record = &*sending.delivery.record;
        // Of a key's queue first, so that what waits there takes no memory from others.
        let wait = self.line.send_wait;
        let room = async {
            let place = self.turns.enter(record).await;
            Ok((self.budget.take(record).await?, place))
        };
        let room = timeout(wait, room).await;
        let (room, place) = match room.unwrap_or(Err(ProduceError::QueueFull { waited: wait })) {
            Ok(taken) => taken,
            Err(error) => return Err(sending.failed(error.into(), None)),
        };
        let turn = place.turn();
        sending.taken = true;
        let (tell, told) = oneshot::channel();
        let way = async move {
            let outcome = sending.run(turn).await;
            drop(room);
            drop(sending);
            // Nobody has to wait for it.
            let _ = tell.send(outcome);
        };
        tokio::spawn(task::owned(flow.scope(way).instrument(span)));
        Ok(Told { id, outcome: told })
    }

    /// Fails a message that is not even tried.
    pub(super) fn leave(self: &Arc<Self>, message: &Message, why: AttemptError) -> SendError {
        Sending::begin(self.clone(), message).failed(why, None)
    }
}

impl Sending {
    /// A consequence of the current flow, within the current span.
    fn begin(core: Arc<Core>, message: &Message) -> Self {
        let trace = telemetry::trace_of(&tracing::Span::current());
        let record = Arc::new(wire::record(message, &Flow::current(), trace.as_ref()));
        let id = message.id.clone();
        core.open.fetch_add(1, Ordering::SeqCst);
        let number = core.tracked.begin(&id);
        let status = DeliveryStatus::Pending;
        let delivery = DeliveryContext { id, record, attempt: 0, status };
        Self {
            core,
            delivery,
            number,
            begun: Instant::now(),
            taken: false,
            indefinite: false,
            concluded: false,
        }
    }

    async fn run(&mut self, turn: Turn) -> Outcome {
        let mut phase = self.core.phase.subscribe();
        let mut history = History::default();
        let error = match self.attempts(turn, &mut phase, &mut history).await {
            Ok(delivered) => return Ok(self.acknowledged(delivered)),
            Err(error) => error,
        };
        if self.delivery.attempt == 0 {
            // While the broker is away nothing but its caller is to be burdened with it.
            return Err(self.failed(error, None));
        }
        let dead_letter = match self.is_for_the_dead_letters(&error, &phase) {
            true => {
                let core = self.core.clone();
                let sent = core.aside.dead_letter(&core.line, &self.delivery, &error, &history);
                tokio::select! {
                    biased;
                    lies = sent => lies,
                    () = reached(&mut phase, Phase::Abandoned) => None,
                }
            }
            false => None,
        };
        let core = self.core.clone();
        core.aside.report(&core.line, &self.delivery, &error, &history, dead_letter.as_ref());
        Err(self.failed(error, dead_letter))
    }

    /// Tries until it is acknowledged or given up. Its turn ends when nothing can be sent again.
    async fn attempts(
        &mut self,
        mut turn: Turn,
        phase: &mut watch::Receiver<Phase>,
        history: &mut History,
    ) -> Result<Delivered, AttemptError> {
        let core = self.core.clone();
        tokio::select! {
            biased;
            () = turn.come() => {}
            () = reached(phase, Phase::Cut) => return Err(ProduceError::Closed.into()),
        }
        // It may have come because the close gave up the one before, which this one must not overtake.
        if *phase.borrow() >= Phase::Cut {
            return Err(ProduceError::Closed.into());
        }
        let until_settled = core.retries > 0 && turn.is_strict();
        let mut turn = Some(turn);
        loop {
            self.delivery.attempt += 1;
            let number = self.delivery.attempt;
            let until_queued = if until_settled { None } else { turn.take() };
            let attempt = Attempt::new(&self.delivery, &core.line, until_queued);
            // As long as it runs, for it may be dropped there.
            let before = std::mem::replace(&mut self.indefinite, true);
            let sent = AssertUnwindSafe(core.service.send(attempt.clone())).catch_unwind();
            let sent = tokio::select! {
                biased;
                sent = sent => sent.unwrap_or_else(|panic| Err(AttemptError::panicked(&*panic))),
                () = given_up(phase, &attempt) => Err(ProduceError::Closed.into()),
            };
            let error = match sent {
                Ok(delivered) => return Ok(delivered),
                Err(error) => error,
            };
            self.indefinite = before || error.is_indefinite(attempt.is_queued());
            let again = match &error {
                // It was not tried: a retry that it has is still to be had.
                AttemptError::BreakerOpen(open) => {
                    self.delivery.attempt -= 1;
                    (number > 1).then(|| open.retry_in.max(REFUSED))
                }
                error => {
                    core.aside.note(history, number, error);
                    let again = number <= core.retries && error.class() == ErrorClass::Retriable;
                    again.then_some(Duration::ZERO)
                }
            };
            let Some(least) = again.filter(|_| *phase.borrow() == Phase::Open) else {
                return Err(error);
            };
            let after = core.backoff.jittered(number, &core.chance).max(least);
            self.put_off(after, &error);
            tokio::select! {
                biased;
                () = reached(phase, Phase::Cut) => return Err(ProduceError::Closed.into()),
                () = sleep(after) => {}
            }
        }
    }

    /// Where no broker takes anything any more, nothing is put aside.
    fn is_for_the_dead_letters(
        &self,
        error: &AttemptError,
        phase: &watch::Receiver<Phase>,
    ) -> bool {
        error.class() != ErrorClass::Fatal && *phase.borrow() == Phase::Open
    }

    fn put_off(&mut self, after: Duration, error: &AttemptError) {
        let reason = one_line(&chain(error), REASON).into();
        self.note(DeliveryStatus::RetryScheduled { after, reason }, SendOutcome::Retried);
        self.tell(|handler, delivery| handler.on_retry_scheduled(delivery));
    }

    fn acknowledged(&mut self, delivered: Delivered) -> Sent {
        self.concluded = true;
        self.note(DeliveryStatus::Success(delivered.clone()), SendOutcome::Acknowledged);
        self.tell(|handler, delivery| handler.on_success(delivery));
        Sent { id: self.delivery.id.clone(), delivered }
    }

    fn failed(&mut self, source: AttemptError, dead_letter: Option<Delivered>) -> SendError {
        self.concluded = true;
        let (id, attempts) = (self.delivery.id.clone(), self.delivery.attempt);
        let reason = one_line(&chain(&source), REASON).into();
        let class = source.class();
        let lies = dead_letter.is_some();
        let status = DeliveryStatus::Failed { class, reason, dead_letter: dead_letter.clone() };
        let indefinite = self.indefinite;
        let error = SendError::NotAcknowledged { id, attempts, dead_letter, indefinite, source };
        let outcome = match lies {
            true => SendOutcome::DeadLettered,
            false if error.is_refused() => SendOutcome::Refused,
            false => SendOutcome::Failed,
        };
        if self.taken && !lies {
            self.core.left_behind(&self.delivery);
        }
        if outcome != SendOutcome::Refused {
            let topic = self.delivery.topic();
            tracing::warn!(id = %self.delivery.id, %topic, attempts, error = chain(&error), "not sent");
        }
        self.note(status, outcome);
        self.tell(|handler, delivery| handler.on_failure(delivery, &error));
        error
    }

    fn note(&mut self, status: DeliveryStatus, outcome: SendOutcome) {
        self.core.counts.add(outcome);
        self.core.tracked.set(&self.delivery.id, self.number, status.clone());
        self.delivery.status = status;
        let (topic, attempt) = (self.delivery.topic(), self.delivery.attempt);
        let measured = Measured { topic, outcome, attempt, took: self.begun.elapsed() };
        self.core.hooks.iter().for_each(|hook| guarded("a metrics hook", || hook(&measured)));
    }

    fn tell(&self, what: impl Fn(&dyn DeliveryHandler, &DeliveryContext)) {
        let handlers = self.core.handlers.iter();
        handlers.for_each(|handler| {
            guarded("a delivery handler", || what(&**handler, &self.delivery));
        });
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if !self.concluded {
            // Its future was dropped before there was room, or the runtime ends.
            self.failed(ProduceError::Closed.into(), None);
        }
        if self.core.open.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.core.idle.notify_waiters();
        }
    }
}

impl Core {
    /// After a close each message that is given up, and safe nowhere, is one that is left.
    fn left_behind(&self, delivery: &DeliveryContext) {
        if self.closed.load(Ordering::SeqCst) {
            let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
            left.push(delivery.id.clone());
        }
    }
}

/// Calls what is the user's, whose panic is its own.
fn guarded(what: &str, call: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(call)) {
        tracing::error!("{what} panicked: {}", task::message(&*panic).unwrap_or("it says nothing"));
    }
}

/// Waits until the producer has come so far in its close.
async fn reached(phase: &mut watch::Receiver<Phase>, so_far: Phase) {
    // Whoever sends has the other end.
    let _ = phase.wait_for(|phase| *phase >= so_far).await;
}

/// Waits until an attempt is given up: what is queued comes to an end by itself, if it is given the time.
async fn given_up(phase: &mut watch::Receiver<Phase>, attempt: &Attempt) {
    reached(phase, Phase::Cut).await;
    if attempt.is_queued() {
        reached(phase, Phase::Abandoned).await;
    }
}
