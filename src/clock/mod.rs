//! Time: a wall clock that never steps, and the broker's clock as far as we can know it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::Utc;
use tokio::time::Instant;

/// Unix milliseconds.
pub type Millis = i64;

/// A duration in whole milliseconds, as timestamps count.
pub fn millis(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}

/// What time it is at the broker: due times count in its time, whatever our clock says.
///
/// Wall time is read once; after that a monotonic clock carries it on, so a clock that is stepped
/// here moves nothing. What the broker tells us corrects it: no record can have been appended
/// later than now, and an acknowledged append lies between sending and acknowledgement.
///
/// It counts in microseconds: brokers cut their times to whole milliseconds, and what is cut twice
/// would let an event run a millisecond early.
#[derive(Debug, Clone)]
pub struct BrokerClock {
    started: Instant,
    /// Broker time at `started`, in Unix microseconds.
    base: Arc<AtomicI64>,
}

/// Microseconds of a millisecond.
const MILLI: i64 = 1_000;

impl BrokerClock {
    /// Starts from this machine's clock.
    pub fn new() -> Self {
        Self::starting_at(Utc::now().timestamp_micros())
    }

    /// Starts from a time given in Unix microseconds.
    pub(crate) fn starting_at(now: i64) -> Self {
        Self { started: Instant::now(), base: Arc::new(AtomicI64::new(now)) }
    }

    fn elapsed(&self, at: Instant) -> i64 {
        let elapsed = at.saturating_duration_since(self.started).as_micros();
        i64::try_from(elapsed).unwrap_or(i64::MAX)
    }

    fn micros(&self, at: Instant) -> i64 {
        self.base.load(Ordering::Relaxed).saturating_add(self.elapsed(at))
    }

    /// The broker's time now.
    pub fn now(&self) -> Millis {
        self.micros(Instant::now()).div_euclid(MILLI)
    }

    /// When, on our monotonic clock, the broker's clock will show `due`; now if it is past.
    pub fn instant_of(&self, due: Millis) -> Instant {
        let now = Instant::now();
        let wait = due.saturating_mul(MILLI).saturating_sub(self.micros(now)).max(0);
        now + Duration::from_micros(wait.unsigned_abs())
    }

    /// A record was read that the broker had appended at `appended`: it is at least that late there.
    pub fn read_append(&self, appended: Millis) {
        let base = appended.saturating_mul(MILLI).saturating_sub(self.elapsed(Instant::now()));
        self.base.fetch_max(base, Ordering::Relaxed);
    }

    /// A record that we sent at `sent` was appended at `appended`, and we know it now.
    pub fn acknowledged_append(&self, sent: Instant, appended: Millis) {
        let appended = appended.saturating_mul(MILLI);
        // The broker cut off up to one millisecond.
        let latest = appended.saturating_add(MILLI - 1).saturating_sub(self.elapsed(sent));
        let earliest = appended.saturating_sub(self.elapsed(Instant::now()));
        let base = self.base.load(Ordering::Relaxed);
        if base > latest || base < earliest {
            self.base.store(base.clamp(earliest, latest.max(earliest)), Ordering::Relaxed);
        }
    }
}

impl Default for BrokerClock {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Millis = 3_600_000;

    fn starting_at(now: Millis) -> BrokerClock {
        BrokerClock::starting_at(now * MILLI)
    }

    #[tokio::test(start_paused = true)]
    async fn broker_time_goes_on_with_the_monotonic_clock() {
        let clock = starting_at(1_000);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(clock.now(), 3_000);
        assert_eq!(clock.instant_of(5_500), Instant::now() + Duration::from_millis(2_500));
        assert_eq!(clock.instant_of(1), Instant::now());
    }

    #[tokio::test(start_paused = true)]
    async fn a_broker_that_is_ahead_is_seen_in_any_record_it_appended() {
        let clock = starting_at(0);
        clock.read_append(HOUR);
        assert_eq!(clock.now(), HOUR);
        clock.read_append(10);
        assert_eq!(clock.now(), HOUR, "an old record says nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn a_broker_that_is_behind_is_seen_in_an_acknowledgement() {
        let clock = starting_at(HOUR);
        let sent = Instant::now();
        tokio::time::advance(Duration::from_millis(5)).await;
        clock.acknowledged_append(sent, 100);
        assert!((100..=105).contains(&clock.now()), "{}", clock.now());
    }

    #[tokio::test(start_paused = true)]
    async fn hostile_timestamps_do_not_overflow() {
        let clock = starting_at(0);
        clock.read_append(Millis::MIN);
        assert_eq!(clock.instant_of(Millis::MIN), Instant::now());
        clock.acknowledged_append(Instant::now(), Millis::MIN);
        let _ = clock.instant_of(HOUR);
    }

    #[tokio::test(start_paused = true)]
    async fn parts_of_a_millisecond_never_make_an_event_early() {
        for cut in [0, 1, 499, 500, 999] {
            // The broker's clock shows `cut` microseconds more than a whole millisecond.
            let clock = BrokerClock::starting_at(1_000_000 + cut);
            let started = Instant::now();
            tokio::time::advance(Duration::from_micros(700)).await;
            let truth = 1_000_000 + cut + 700;
            clock.read_append(truth / MILLI);
            clock.acknowledged_append(started, truth / MILLI);
            let due = clock.instant_of(1_010);
            let shows = 1_000_000 + cut + clock.elapsed(due);
            assert_eq!(shows, 1_010_000, "{cut}");
        }
    }
}
