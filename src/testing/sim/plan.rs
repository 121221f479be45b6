//! What goes wrong in a world, drawn from its seed.

use std::time::Duration;

use super::super::database::DatabaseFault;
use crate::transport::memory::FaultPlan;

/// How long things go wrong.
const UNREST: Duration = Duration::from_secs(15);

/// What goes wrong in a world.
#[derive(Debug, Clone, Default)]
pub(super) struct Plan {
    /// What goes wrong at the broker and on the way to it.
    pub(super) faults: FaultPlan,
    /// What goes wrong at databases: when, and at the n-th one, modulo their number.
    pub(super) databases: Vec<(Duration, usize, DatabaseFault)>,
    /// When processes end.
    pub(super) ends: Vec<End>,
    /// How often, of 256 times, a task that is ready is put behind the others that are.
    pub(super) yields: u8,
}

/// A process ends, and is started again.
#[derive(Debug, Clone)]
pub(super) struct End {
    /// The n-th process, modulo their number.
    pub(super) process: usize,
    /// When it comes to that, from the beginning.
    pub(super) at: Duration,
    /// When exactly.
    pub(super) moment: Moment,
    /// It is asked to stop and given so long; `None` is a crash.
    pub(super) drain: Option<Duration>,
    /// How long until it is started again.
    pub(super) down: Duration,
    /// Its next life crashes too, before this poll of its tasks.
    pub(super) again: Option<u32>,
}

/// When a process ends that is to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Moment {
    /// At once.
    Now,
    /// Before the n-th poll of its tasks from now on.
    Poll(u32),
    /// Right after the n-th thing that it does at the broker or a database from now on, in the middle of
    /// a poll.
    Operation(u32),
}

impl Plan {
    /// What a seed wants. One world in four knows no fault at the broker, one in four no crash, one in
    /// four runs its tasks in the order in which they were woken.
    pub(super) fn drawn(rng: &mut fastrand::Rng) -> Self {
        let count = if rng.u8(0..4) == 0 { 0 } else { rng.usize(1..=10) };
        let faults = FaultPlan::seeded(rng.u64(..), count, UNREST);
        let count = if rng.u8(0..4) == 0 { 0 } else { rng.usize(1..=5) };
        let ends = (0..count).map(|_| End::drawn(rng)).collect();
        let count = if rng.u8(0..4) == 0 { 0 } else { rng.usize(1..=5) };
        let fault = |rng: &mut fastrand::Rng| {
            let at = Duration::from_micros(rng.u64(0..15_000_000));
            (at, rng.usize(0..64), DatabaseFault::drawn(rng))
        };
        let databases = (0..count).map(|_| fault(rng)).collect();
        Self { faults, databases, ends, yields: [0, 16, 64, 128][rng.usize(0..4)] }
    }
}

impl End {
    fn drawn(rng: &mut fastrand::Rng) -> Self {
        Self {
            process: rng.usize(0..64),
            at: Duration::from_micros(rng.u64(0..15_000_000)),
            moment: match rng.u8(0..4) {
                0 => Moment::Now,
                1 => Moment::Operation(rng.u32(1..20)),
                _ => Moment::Poll(rng.u32(0..300)),
            },
            drain: (rng.u8(0..4) == 0).then(|| Duration::from_millis(rng.u64(0..3_000))),
            down: Duration::from_millis(rng.u64(1..8_000)),
            again: (rng.u8(0..4) == 0).then(|| rng.u32(0..60)),
        }
    }
}
