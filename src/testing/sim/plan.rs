//! What goes wrong in a world, drawn from its seed.

use std::time::Duration;

use crate::transport::memory::FaultPlan;

/// How long things go wrong.
const UNREST: Duration = Duration::from_secs(15);

/// What goes wrong in a world.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// What goes wrong at the broker and on the way to it.
    pub faults: FaultPlan,
    /// When processes end.
    pub ends: Vec<End>,
}

/// A process ends, and is started again.
#[derive(Debug, Clone)]
pub struct End {
    /// The n-th process, modulo their number.
    pub process: usize,
    /// When, from the beginning.
    pub at: Duration,
    /// It ends right after so many more things that it does at the broker; 0: at once.
    pub operations: u32,
    /// It is asked to stop and given so long; `None` is a crash.
    pub drain: Option<Duration>,
    /// How long until it is started again.
    pub down: Duration,
}

impl Plan {
    /// Nothing goes wrong.
    pub fn none() -> Self {
        Self::default()
    }

    /// What a seed wants. One world in four knows no fault at the broker, one in four no crash.
    pub fn drawn(rng: &mut fastrand::Rng) -> Self {
        let count = if rng.u8(0..4) == 0 { 0 } else { rng.usize(1..=10) };
        let faults = FaultPlan::seeded(rng.u64(..), count, UNREST);
        let count = if rng.u8(0..4) == 0 { 0 } else { rng.usize(1..=5) };
        let ends = (0..count).map(|_| End::drawn(rng)).collect();
        Self { faults, ends }
    }
}

impl End {
    fn drawn(rng: &mut fastrand::Rng) -> Self {
        Self {
            process: rng.usize(0..64),
            at: Duration::from_micros(rng.u64(0..15_000_000)),
            operations: if rng.bool() { rng.u32(1..20) } else { 0 },
            drain: (rng.u8(0..4) == 0).then(|| Duration::from_millis(rng.u64(0..3_000))),
            down: Duration::from_millis(rng.u64(1..8_000)),
        }
    }
}
