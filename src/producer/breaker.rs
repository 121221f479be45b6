//! A breaker: while the broker is away messages are refused quickly instead of waiting for it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

use super::attempt::{Attempt, AttemptError};
use crate::error::{BoxError, ErrorClass};
use crate::transport::Delivered;

/// How soon a message may ask again while probes are on their way.
const PROBED: Duration = Duration::from_secs(1);

/// A layer that opens when the broker is away, and then refuses at once what it would only wait for.
///
/// It opens after some failures in a row, and when the transport has heard nothing of its broker for some time. Once it
/// has been open for its time and the broker answers the transport, some messages go through as probes: when they are
/// acknowledged it closes, when one fails it is open again. An answer that refuses a message for good is an answer: the
/// broker is there.
///
/// Clones share one state, so that a clone kept beside the producer can be asked for it.
#[derive(Debug, Clone)]
pub struct Breaker {
    settings: Settings,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Clone, Copy)]
struct Settings {
    failures: u32,
    away: Duration,
    open_for: Duration,
    probes: u32,
}

/// What a breaker does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Everything goes through.
    Closed,
    /// Everything is refused.
    Open,
    /// Probes go through, everything else is refused.
    HalfOpen,
}

#[derive(Debug)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant },
    HalfOpen { running: u32, acknowledged: u32 },
}

/// A breaker is open: the message was not tried.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the broker is away and the breaker is open; the next probe may go in {retry_in:?}")]
pub struct BreakerOpen {
    /// How long until a message may go through again, if the broker is back by then.
    pub retry_in: Duration,
}

impl Breaker {
    /// One that opens after 5 failures in a row or 5 s without an answer, for 10 s, and closes after 1 probe.
    #[allow(clippy::new_without_default, reason = "a shared state is made, not a value")]
    pub fn new() -> Self {
        let settings = Settings {
            failures: 5,
            away: Duration::from_secs(5),
            open_for: Duration::from_secs(10),
            probes: 1,
        };
        Self { settings, state: Arc::new(Mutex::new(State::Closed { failures: 0 })) }
    }

    /// Opens after so many failures in a row; 0 is taken as 1. Default: 5.
    #[must_use]
    pub fn failures(mut self, failures: u32) -> Self {
        self.settings.failures = failures.max(1);
        self
    }

    /// Opens when the transport has heard nothing of its broker for so long. Default: 5 s.
    #[must_use]
    pub fn away(mut self, away: Duration) -> Self {
        self.settings.away = away;
        self
    }

    /// How long it refuses everything before a probe may go. Default: 10 s.
    #[must_use]
    pub fn open_for(mut self, open_for: Duration) -> Self {
        self.settings.open_for = open_for;
        self
    }

    /// How many probes must be acknowledged before it closes, which is also how many go at a time; 0 is taken as 1.
    /// Default: 1.
    #[must_use]
    pub fn probes(mut self, probes: u32) -> Self {
        self.settings.probes = probes.max(1);
        self
    }

    /// What it does now.
    pub fn state(&self) -> BreakerState {
        match &*self.lock() {
            State::Closed { .. } => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets an attempt through, or says that it is open.
    fn admit(&self, broker_away: Option<Duration>) -> Result<Pass, BreakerOpen> {
        let Settings { away, open_for, probes, .. } = self.settings;
        let now = Instant::now();
        let mut state = self.lock();
        let away = broker_away.is_some_and(|since| since >= away);
        match &mut *state {
            State::Closed { .. } if away => {
                self.open(&mut state, "it does not answer");
                Err(BreakerOpen { retry_in: open_for })
            }
            State::Closed { .. } => Ok(self.pass(false)),
            State::Open { until } if now < *until => Err(BreakerOpen { retry_in: *until - now }),
            // A probe would only find out what is known.
            State::Open { .. } | State::HalfOpen { .. } if broker_away.is_some() => {
                Err(BreakerOpen { retry_in: open_for })
            }
            State::Open { .. } => {
                tracing::info!("the breaker lets a probe through");
                *state = State::HalfOpen { running: 1, acknowledged: 0 };
                Ok(self.pass(true))
            }
            State::HalfOpen { running, .. } if *running < probes => {
                *running += 1;
                Ok(self.pass(true))
            }
            // It is known soon what becomes of the probes; whoever waits need not wait as long again.
            State::HalfOpen { .. } => Err(BreakerOpen { retry_in: open_for.min(PROBED) }),
        }
    }

    fn pass(&self, probe: bool) -> Pass {
        Pass { breaker: self.clone(), probe, told: false }
    }

    fn open(&self, state: &mut State, why: &str) {
        tracing::warn!("the breaker opens: the broker is away ({why})");
        *state = State::Open { until: Instant::now() + self.settings.open_for };
    }

    fn succeeded(&self, probe: bool) {
        let mut state = self.lock();
        match &mut *state {
            State::Closed { failures } => *failures = 0,
            State::HalfOpen { running, acknowledged } if probe => {
                *running = running.saturating_sub(1);
                *acknowledged += 1;
                if *acknowledged >= self.settings.probes {
                    tracing::info!("the breaker closes: the broker is back");
                    *state = State::Closed { failures: 0 };
                }
            }
            // It was sent before the breaker opened.
            State::Open { .. } | State::HalfOpen { .. } => {}
        }
    }

    fn failed(&self, probe: bool, why: &str) {
        let mut state = self.lock();
        match &mut *state {
            State::Closed { failures } => {
                *failures += 1;
                if *failures >= self.settings.failures {
                    self.open(&mut state, why);
                }
            }
            State::HalfOpen { .. } if probe => self.open(&mut state, why),
            State::Open { .. } | State::HalfOpen { .. } => {}
        }
    }

    /// A probe that came to no end.
    fn abandoned(&self) {
        if let State::HalfOpen { running, .. } = &mut *self.lock() {
            *running = running.saturating_sub(1);
        }
    }
}

/// An attempt that was let through, until it has said what became of it.
struct Pass {
    breaker: Breaker,
    probe: bool,
    told: bool,
}

impl Pass {
    fn tell(mut self, outcome: &Result<Delivered, AttemptError>) {
        self.told = true;
        match outcome {
            Err(error) if error.class() != ErrorClass::Permanent => {
                self.breaker.failed(self.probe, &crate::error::chain(error));
            }
            // An answer that refuses the message is one.
            _ => self.breaker.succeeded(self.probe),
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if self.probe && !self.told {
            self.breaker.abandoned();
        }
    }
}

impl<S> Layer<S> for Breaker {
    type Service = BreakerService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        BreakerService { breaker: self.clone(), inner }
    }
}

/// A [`Breaker`] around what sends.
#[derive(Debug, Clone)]
pub struct BreakerService<S> {
    breaker: Breaker,
    inner: S,
}

impl<S> Service<Attempt> for BreakerService<S>
where
    S: Service<Attempt, Response = Delivered>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    type Response = Delivered;
    type Error = AttemptError;
    type Future = Pin<Box<dyn Future<Output = Result<Delivered, AttemptError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(AttemptError::of)
    }

    fn call(&mut self, attempt: Attempt) -> Self::Future {
        let pass = match self.breaker.admit(attempt.broker_away()) {
            Ok(pass) => pass,
            Err(open) => return Box::pin(std::future::ready(Err(open.into()))),
        };
        let sending = self.inner.call(attempt);
        Box::pin(async move {
            let outcome = sending.await.map_err(AttemptError::of);
            pass.tell(&outcome);
            outcome
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::TopicName;
    use crate::transport::ProduceError;

    const TEN: Duration = Duration::from_secs(10);

    fn breaker() -> Breaker {
        Breaker::new().failures(3)
    }

    fn away() -> Result<Delivered, AttemptError> {
        Err(ProduceError::NoAnswer { waited: TEN }.into())
    }

    fn stored() -> Result<Delivered, AttemptError> {
        Ok(Delivered { partition: 0, offset: 0, appended_at: None })
    }

    fn refused() -> Result<Delivered, AttemptError> {
        let topic = TopicName::from_static("t");
        Err(ProduceError::TooLarge { topic, reason: String::new() }.into())
    }

    fn through(breaker: &Breaker, outcome: &Result<Delivered, AttemptError>) {
        breaker.admit(None).unwrap().tell(outcome);
    }

    #[tokio::test(start_paused = true)]
    async fn it_opens_after_failures_in_a_row_and_only_a_probe_closes_it() {
        let breaker = breaker();
        for outcome in [away(), away(), stored(), away(), away(), refused(), away(), away()] {
            through(&breaker, &outcome);
            assert_eq!(breaker.state(), BreakerState::Closed, "an answer begins the row anew");
        }
        let late = breaker.admit(None).unwrap();
        through(&breaker, &away());
        assert_eq!(breaker.state(), BreakerState::Open);
        assert_eq!(breaker.admit(None).err(), Some(BreakerOpen { retry_in: TEN }));
        late.tell(&stored());
        assert_eq!(breaker.state(), BreakerState::Open, "it was sent before");

        tokio::time::advance(TEN).await;
        let probe = breaker.admit(None).unwrap();
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        let soon = BreakerOpen { retry_in: PROBED };
        assert_eq!(
            breaker.admit(None).err(),
            Some(soon),
            "one at a time, and not all of its time again"
        );
        probe.tell(&away());
        assert_eq!(breaker.state(), BreakerState::Open);
        tokio::time::advance(TEN).await;
        through(&breaker, &stored());
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_broker_that_does_not_answer_the_transport_opens_it_and_keeps_it_open() {
        let breaker = breaker();
        breaker.admit(Some(TEN / 10)).unwrap().tell(&stored());
        assert!(breaker.admit(Some(TEN)).is_err());
        assert_eq!(breaker.state(), BreakerState::Open);
        tokio::time::advance(TEN).await;
        assert!(breaker.admit(Some(Duration::ZERO)).is_err(), "no probe is wasted");
        through(&breaker, &stored());
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_comes_to_no_end_gives_its_place_to_another() {
        let breaker = breaker().probes(2);
        (0..3).for_each(|_| through(&breaker, &away()));
        tokio::time::advance(TEN).await;
        let probes = [breaker.admit(None).unwrap(), breaker.admit(None).unwrap()];
        assert!(breaker.admit(None).is_err());
        drop(probes);
        through(&breaker, &stored());
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        through(&breaker, &stored());
        assert_eq!(breaker.state(), BreakerState::Closed);
    }
}
