//! Time: a wall clock that never steps, and the broker's clock as far as we can know it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
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
/// [`now`](Self::now) is the best guess. What must never be early waits for what is proved, see
/// [`proved`](Self::proved): a clock that was set wrong here is found out only by an acknowledgement,
/// and even then to no more than the time that a request takes.
///
/// It counts in microseconds: brokers cut their times to whole milliseconds, and what is cut twice
/// would let an event run a millisecond early.
#[derive(Debug, Clone)]
pub struct BrokerClock {
    started: Instant,
    known: Arc<Known>,
}

#[derive(Debug)]
struct Known {
    /// Broker time at `started`, as far as we can guess, in Unix microseconds.
    base: AtomicI64,
    /// It was at least this.
    least: AtomicI64,
    /// Whether an append was acknowledged.
    asked: AtomicBool,
}

/// Longer than any wait: 100 years.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Microseconds of a millisecond.
const MILLI: i64 = 1_000;

impl BrokerClock {
    /// Starts from this machine's clock.
    pub fn new() -> Self {
        Self::starting_at(Utc::now().timestamp_micros())
    }

    /// Starts from a time given in Unix microseconds.
    pub(crate) fn starting_at(now: i64) -> Self {
        let known = Known {
            base: AtomicI64::new(now),
            least: AtomicI64::new(i64::MIN),
            asked: AtomicBool::new(false),
        };
        Self { started: Instant::now(), known: Arc::new(known) }
    }

    fn elapsed(&self, at: Instant) -> i64 {
        let elapsed = at.saturating_duration_since(self.started).as_micros();
        i64::try_from(elapsed).unwrap_or(i64::MAX)
    }

    fn micros(&self, at: Instant) -> i64 {
        self.known.base.load(Ordering::Relaxed).saturating_add(self.elapsed(at))
    }

    /// The broker's time now.
    pub fn now(&self) -> Millis {
        self.micros(Instant::now()).div_euclid(MILLI)
    }

    /// When, on our monotonic clock, the broker's clock will show `due`, as far as we can guess; `now`
    /// if it is past.
    pub fn instant_of(&self, due: Millis, now: Instant) -> Instant {
        in_micros(now, due.saturating_mul(MILLI).saturating_sub(self.micros(now)))
    }

    /// When, on our monotonic clock, it is proved that the broker's clock shows `due`; `now` if it is
    /// already. Later by as much as the quickest of its answers took to reach us, and sooner than it
    /// was before whenever a quicker one has come.
    pub fn proved(&self, due: Millis, now: Instant) -> Instant {
        let least = self.known.least.load(Ordering::Relaxed).saturating_add(self.elapsed(now));
        in_micros(now, due.saturating_mul(MILLI).saturating_sub(least))
    }

    /// Whether an append was ever acknowledged: without, what is proved may be far behind.
    pub fn has_asked(&self) -> bool {
        self.known.asked.load(Ordering::Relaxed)
    }

    /// Our guess jumps, as if this machine's clock had been set; for tests of what must not depend on it.
    #[cfg(feature = "testing")]
    pub(crate) fn step(&self, by: Millis) {
        self.known.base.fetch_add(by.saturating_mul(MILLI), Ordering::Relaxed);
    }

    /// A record was read that the broker had appended at `appended`: it is at least that late there.
    pub fn read_append(&self, appended: Millis) {
        let base = appended.saturating_mul(MILLI).saturating_sub(self.elapsed(Instant::now()));
        self.known.base.fetch_max(base, Ordering::Relaxed);
        self.known.least.fetch_max(base, Ordering::Relaxed);
    }

    /// A record that we sent at `sent` was appended at `appended`, and we know it now.
    pub fn acknowledged_append(&self, sent: Instant, appended: Millis) {
        let appended = appended.saturating_mul(MILLI);
        // The broker cut off up to one millisecond.
        let latest = appended.saturating_add(MILLI - 1).saturating_sub(self.elapsed(sent));
        let earliest = appended.saturating_sub(self.elapsed(Instant::now()));
        for time in [&self.known.base, &self.known.least] {
            let was = time.load(Ordering::Relaxed);
            if was > latest || was < earliest {
                time.store(earliest, Ordering::Relaxed);
            }
        }
        self.known.asked.store(true, Ordering::Relaxed);
    }
}

fn in_micros(now: Instant, wait: i64) -> Instant {
    now + Duration::from_micros(wait.max(0).unsigned_abs()).min(FOREVER)
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
        assert_eq!(
            clock.instant_of(5_500, Instant::now()),
            Instant::now() + Duration::from_millis(2_500)
        );
        assert_eq!(clock.instant_of(1, Instant::now()), Instant::now());
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
    async fn a_clock_that_is_ahead_proves_nothing_and_an_answer_proves_its_append() {
        let clock = starting_at(HOUR);
        let sent = Instant::now();
        assert!(
            clock.proved(100, Instant::now()) > sent + Duration::from_secs(HOUR.unsigned_abs())
        );
        assert!(!clock.has_asked());
        clock.read_append(40);
        assert_eq!(
            clock.proved(100, Instant::now()),
            sent + Duration::from_millis(60),
            "it is 40 at least"
        );
        tokio::time::advance(Duration::from_millis(30)).await;
        clock.acknowledged_append(sent, 95);
        assert_eq!(clock.proved(100, Instant::now()), Instant::now() + Duration::from_millis(5));
        assert!(clock.has_asked());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_proved_is_taken_back_when_our_seconds_are_shorter_than_the_brokers() {
        let clock = starting_at(0);
        clock.acknowledged_append(Instant::now(), 0);
        tokio::time::advance(Duration::from_secs(1_000)).await;
        clock.acknowledged_append(Instant::now(), 999_000);
        assert_eq!(
            clock.proved(1_000_000, Instant::now()),
            Instant::now() + Duration::from_secs(1)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn hostile_timestamps_do_not_overflow() {
        let clock = starting_at(0);
        clock.read_append(Millis::MIN);
        assert_eq!(clock.instant_of(Millis::MIN, Instant::now()), Instant::now());
        clock.acknowledged_append(Instant::now(), Millis::MIN);
        let _ = clock.instant_of(HOUR, Instant::now());
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
            let shows = |at: Instant| 1_000_000 + cut + clock.elapsed(at);
            assert_eq!(shows(clock.instant_of(1_010, Instant::now())), 1_010_000, "{cut}");
            assert!(
                (1_010_000..1_011_000).contains(&shows(clock.proved(1_010, Instant::now()))),
                "{cut}"
            );
        }
    }
}
