//! A rate limit: messages wait until they may go.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tower_layer::Layer;
use tower_service::Service;

use super::attempt::Attempt;

/// A layer that lets so many attempts through in a time, evenly, and some at once after a pause. The others wait.
///
/// It is the generic cell rate algorithm (ITU-T I.371) on tokio's clock. Clones share one limit, so that several
/// producers can, too.
#[derive(Debug, Clone)]
pub struct RateLimit {
    every: Duration,
    burst: u32,
    /// When the next one is due, if all come evenly.
    due: Arc<Mutex<Option<Instant>>>,
}

/// A rate that lets nothing through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a rate limit lets at least one message through, in more than no time")]
pub struct InvalidRateLimit;

impl RateLimit {
    /// `messages` in each `per`, evenly; see [`burst`](Self::burst).
    ///
    /// # Errors
    /// When one of them is zero.
    pub fn new(messages: u32, per: Duration) -> Result<Self, InvalidRateLimit> {
        let every = per.checked_div(messages).filter(|every| !every.is_zero());
        let every = every.ok_or(InvalidRateLimit)?;
        Ok(Self { every, burst: 1, due: Arc::default() })
    }

    /// How many may go at once after a pause; 0 is taken as 1. Default: 1.
    #[must_use]
    pub fn burst(mut self, messages: u32) -> Self {
        self.burst = messages.max(1);
        self
    }

    /// When the next one may go; its place is taken.
    fn next(&self) -> Instant {
        let now = Instant::now();
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let at = due.unwrap_or(now).max(now);
        *due = Some(at + self.every);
        at.checked_sub(self.every.saturating_mul(self.burst - 1)).map_or(now, |at| at.max(now))
    }
}

impl<S> Layer<S> for RateLimit {
    type Service = RateLimited<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RateLimited { limit: self.clone(), inner }
    }
}

/// A [`RateLimit`] around what sends.
#[derive(Debug, Clone)]
pub struct RateLimited<S> {
    limit: RateLimit,
    inner: S,
}

impl<S> Service<Attempt> for RateLimited<S>
where
    S: Service<Attempt> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, attempt: Attempt) -> Self::Future {
        let at = self.limit.next();
        // The one that was asked whether it is ready is the one that is called.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        Box::pin(async move {
            if at > Instant::now() {
                sleep_until(at).await;
            }
            inner.call(attempt).await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[tokio::test(start_paused = true)]
    async fn messages_go_evenly_and_after_a_pause_as_many_at_once_as_may() {
        let limit = RateLimit::new(10, Duration::from_secs(1)).unwrap().burst(3);
        let start = Instant::now();
        let next = || limit.clone().next() - start;
        let times: Vec<_> = (0..6).map(|_| next()).collect();
        assert_eq!(times, [0, 0, 0, 100, 200, 300].map(ms));
        tokio::time::advance(Duration::from_secs(60)).await;
        let times: Vec<_> = (0..4).map(|_| next()).collect();
        assert_eq!(times, [60_000, 60_000, 60_000, 60_100].map(ms));
    }

    #[test]
    fn a_rate_that_lets_nothing_through_is_none() {
        for (messages, per) in [(0, ms(1)), (1, ms(0)), (2_000, Duration::from_nanos(1))] {
            assert_eq!(RateLimit::new(messages, per).err(), Some(InvalidRateLimit));
        }
    }
}
