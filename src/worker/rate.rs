//! How fast a worker is.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How far back a rate looks.
const WINDOW: Duration = Duration::from_secs(10);
/// Looks that are closer together are one.
const APART: Duration = Duration::from_millis(100);

/// A counter as it stood when it was looked at, over the last seconds.
pub(super) struct Rate(Mutex<VecDeque<(Instant, u64)>>);

impl Rate {
    pub(super) fn new() -> Self {
        Self(Mutex::new(VecDeque::from([(Instant::now(), 0)])))
    }

    /// By how much the counter rises each second: over the last ten seconds, or since the last look but one
    /// where that is longer ago.
    pub(super) fn of(&self, count: u64) -> f64 {
        let now = Instant::now();
        let mut looks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // One from before the window stays: it is where the window begins.
        while looks.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= WINDOW) {
            looks.pop_front();
        }
        let (since, before) = looks.front().copied().unwrap_or((now, count));
        if looks.back().is_none_or(|(at, _)| now.duration_since(*at) >= APART) {
            looks.push_back((now, count));
        }
        let seconds = now.duration_since(since).as_secs_f64();
        let more = count.saturating_sub(before);
        #[allow(clippy::cast_precision_loss, reason = "a rate is not exact")]
        if seconds > 0.0 { more as f64 / seconds } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_rate_is_that_of_the_last_ten_seconds() {
        let rate = Rate::new();
        let at = |seconds| tokio::time::advance(Duration::from_secs(seconds));
        assert_eq!(rate.of(0).to_bits(), 0.0_f64.to_bits(), "no time has passed");
        at(5).await;
        assert!((rate.of(100) - 20.0).abs() < 1e-9);
        at(5).await;
        assert!((rate.of(100) - 10.0).abs() < 1e-9);
        at(10).await;
        assert!(rate.of(100).abs() < 1e-9, "nothing was done for ten seconds");
    }
}
