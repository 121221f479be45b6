//! What can go wrong, by script or by seed.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::Millis;

/// Something that goes wrong at a broker, or on the way to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The next produce request is never answered: its records fail when the delivery wait is over.
    /// They were stored or not.
    ProduceTimesOut {
        /// Whether the records are there all the same.
        stored: bool,
    },
    /// The next produce request is stored and its acknowledgement lost. The producer sends it again,
    /// and the broker knows it by its sequence number.
    AcknowledgementLost,
    /// The next produce request is stored twice, as by a producer that is not idempotent.
    Duplicated,
    /// The broker answers nobody for so long.
    BrokerGone(Duration),
    /// One client, the n-th of those alive (modulo their number), cannot reach the broker for so long.
    Isolated {
        /// Which.
        client: usize,
        /// How long.
        lasts: Duration,
    },
    /// What one client, the n-th of those alive (modulo their number), thinks the time is jumps ahead
    /// by so many milliseconds (back: negative).
    ClockSteps {
        /// Which.
        client: usize,
        /// How far.
        by: Millis,
    },
    /// A partition is taken from the member that reads it and given to another, or back to it.
    Rebalance,
    /// A member is thrown out of its group, as after its session time-out.
    SessionExpired,
    /// The next commit is refused.
    CommitRefused,
    /// The group coordinator moves: groups are answered nothing for so long.
    CoordinatorMoved(Duration),
    /// Fetches take so much longer, for as long again.
    SlowFetch(Duration),
}

/// Faults and when they happen, counted from the moment the plan is given to a broker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FaultPlan(Vec<(Duration, Fault)>);

impl FaultPlan {
    /// Nothing goes wrong.
    pub fn none() -> Self {
        Self::default()
    }

    /// Adds a fault at a time.
    #[must_use]
    pub fn at(mut self, when: Duration, fault: Fault) -> Self {
        self.0.push((when, fault));
        self
    }

    /// `count` faults of all kinds that begin within a time, drawn from a seed. Those that last are over
    /// at most 15 s after it, save that a clock that has stepped stays where it is. Those of the next
    /// request wait for one, however late it comes, or for [`heal`](super::MemoryBroker::heal).
    pub fn seeded(seed: u64, count: usize, within: Duration) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let end = u64::try_from(within.as_millis()).unwrap_or(u64::MAX).max(1);
        let mut plan = Self::none();
        for _ in 0..count {
            let when = Duration::from_millis(rng.u64(0..end));
            plan = plan.at(when, Fault::drawn(&mut rng));
        }
        plan
    }

    /// The faults and when they happen, in the order they were added.
    pub fn faults(&self) -> &[(Duration, Fault)] {
        &self.0
    }
}

impl Fault {
    fn drawn(rng: &mut fastrand::Rng) -> Self {
        let lasts = |rng: &mut fastrand::Rng, most: u64| Duration::from_millis(rng.u64(1..=most));
        match rng.u8(0..12) {
            0 => Self::ProduceTimesOut { stored: rng.bool() },
            1 | 2 => Self::AcknowledgementLost,
            3 => Self::Duplicated,
            4 => Self::BrokerGone(lasts(rng, 15_000)),
            5 => Self::Isolated { client: rng.usize(0..8), lasts: lasts(rng, 15_000) },
            6 => Self::Rebalance,
            7 => Self::SessionExpired,
            8 => Self::CommitRefused,
            9 => Self::ClockSteps { client: rng.usize(0..8), by: rng.i64(-3_600_000..=3_600_000) },
            10 => Self::CoordinatorMoved(lasts(rng, 5_000)),
            _ => Self::SlowFetch(lasts(rng, 3_000)),
        }
    }
}

/// The faults that hold now or wait for their turn.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    planned: VecDeque<(Instant, Fault)>,
    gone: Option<(Instant, Instant)>,
    isolated: Vec<(u64, Instant, Instant)>,
    coordinator: Option<Instant>,
    produce: VecDeque<Fault>,
    commits_refused: usize,
    slow: Option<(Instant, Duration)>,
    happened: usize,
}

impl Faults {
    pub(crate) fn plan(&mut self, plan: &FaultPlan, now: Instant) {
        self.planned.extend(plan.0.iter().map(|(when, fault)| (now + *when, *fault)));
        // Stable: faults of one moment keep their order.
        self.planned.make_contiguous().sort_by_key(|(when, _)| *when);
    }

    /// Ends all of them. What is gone comes back in the moment that the broker looks again.
    pub(crate) fn heal(&mut self, now: Instant) {
        let gone = self.gone.map(|(since, until)| (since, until.min(now)));
        *self = Self { happened: self.happened, gone, ..Self::default() };
    }

    /// The next planned fault whose time has come.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Fault> {
        let (when, _) = self.planned.front()?;
        if *when > now {
            return None;
        }
        self.planned.pop_front().map(|(_, fault)| fault)
    }

    pub(crate) fn count(&mut self) {
        self.happened += 1;
    }

    pub(crate) fn happened(&self) -> usize {
        self.happened
    }

    pub(crate) fn broker_goes(&mut self, now: Instant, lasts: Duration) {
        let (since, until) = self.gone.unwrap_or((now, now));
        self.gone = Some((since, until.max(now + lasts)));
    }

    /// Since when the broker is gone and when it comes back.
    pub(crate) fn gone(&self, now: Instant) -> Option<(Instant, Instant)> {
        self.gone.filter(|(_, until)| now < *until)
    }

    /// Whether the broker has just come back.
    pub(crate) fn is_back(&mut self, now: Instant) -> bool {
        let back = self.gone.is_some_and(|(_, until)| until <= now);
        if back {
            self.gone = None;
        }
        back
    }

    pub(crate) fn isolate(&mut self, client: u64, now: Instant, lasts: Duration) {
        self.isolated.push((client, now, now + lasts));
    }

    /// Since when and until when a client cannot reach the broker.
    pub(crate) fn isolated(&self, client: u64, now: Instant) -> Option<(Instant, Instant)> {
        let of = self.isolated.iter().filter(|(id, _, until)| *id == client && now < *until);
        of.map(|(_, since, until)| (*since, *until)).max_by_key(|(_, until)| *until)
    }

    pub(crate) fn coordinator_moves(&mut self, until: Instant) {
        self.coordinator = Some(self.coordinator.map_or(until, |other| other.max(until)));
    }

    /// Until when groups are answered nothing.
    pub(crate) fn coordinator(&self, now: Instant) -> Option<Instant> {
        self.coordinator.filter(|until| now < *until)
    }

    pub(crate) fn produce(&mut self, fault: Fault) {
        self.produce.push_back(fault);
    }

    /// What goes wrong with the produce request at hand.
    pub(crate) fn next_produce(&mut self) -> Option<Fault> {
        self.produce.pop_front()
    }

    pub(crate) fn refuse_commit(&mut self) {
        self.commits_refused += 1;
    }

    pub(crate) fn commit_is_refused(&mut self) -> bool {
        let refused = self.commits_refused > 0;
        self.commits_refused -= usize::from(refused);
        refused
    }

    pub(crate) fn slow_down(&mut self, now: Instant, by: Duration) {
        self.slow = Some((now + by, by));
    }

    /// How much longer a fetch takes.
    pub(crate) fn slowness(&self, now: Instant) -> Duration {
        self.slow.filter(|(until, _)| now < *until).map_or(Duration::ZERO, |(_, by)| by)
    }
}
