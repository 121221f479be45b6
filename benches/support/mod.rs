//! What every benchmark shares: arms measured in turns, paired ratios, one JSON line for each arm.
//!
//! A number means something only beside another one of the same run. So arms run interleaved,
//! A B A B, and are compared round by round.
#![allow(dead_code, reason = "each benchmark uses a part of it")]
#![allow(clippy::print_stdout, reason = "the lines are what a benchmark is for")]

pub(crate) mod allocations;

use serde_json::json;

/// One way of doing the work. `run` does one round and answers nanoseconds for one operation.
pub(crate) struct Arm<'a> {
    pub(crate) name: &'static str,
    pub(crate) run: Box<dyn FnMut() -> f64 + 'a>,
}

impl<'a> Arm<'a> {
    pub(crate) fn new(name: &'static str, run: impl FnMut() -> f64 + 'a) -> Self {
        Self { name, run: Box::new(run) }
    }

    /// An arm whose round is `operations` calls, timed together.
    pub(crate) fn repeated(
        name: &'static str,
        operations: u32,
        mut call: impl FnMut() + 'a,
    ) -> Self {
        Self::new(name, move || {
            let start = std::time::Instant::now();
            for _ in 0..operations {
                call();
            }
            start.elapsed().as_nanos() as f64 / f64::from(operations)
        })
    }
}

/// Nanoseconds for one operation, of each arm in each round.
pub(crate) struct Rounds(Vec<(&'static str, Vec<f64>)>);

impl Rounds {
    /// Runs the arms in turns, `rounds` times, after one round that does not count.
    pub(crate) fn run(rounds: usize, mut arms: Vec<Arm<'_>>) -> Self {
        assert!(rounds >= 9, "an interval from fewer than 9 rounds says little");
        for arm in &mut arms {
            (arm.run)();
        }
        let mut measured: Vec<_> = arms.iter().map(|arm| (arm.name, Vec::new())).collect();
        for round in 0..rounds {
            // Every second round backwards: a drift over the round weighs on no arm alone.
            let turn: Vec<_> = (0..arms.len()).collect();
            let turn = if round % 2 == 0 { turn } else { turn.into_iter().rev().collect() };
            for arm in turn {
                measured[arm].1.push((arms[arm].run)());
            }
        }
        Self(measured)
    }

    fn of(&self, arm: &str) -> &[f64] {
        let found = self.0.iter().find(|(name, _)| *name == arm);
        &found.unwrap_or_else(|| panic!("no arm {arm}")).1
    }

    /// Compares one arm with another of the same rounds.
    pub(crate) fn compare(&self, arm: &'static str, vs: &'static str) -> Comparison {
        let (ours, theirs) = (self.of(arm), self.of(vs));
        let pairs = || ours.iter().zip(theirs);
        let ratios: Vec<_> = pairs().map(|(ours, theirs)| ours / theirs).collect();
        Comparison {
            arm,
            vs,
            ns: median(ours.to_vec()),
            over_ns: median(pairs().map(|(ours, theirs)| ours - theirs).collect()),
            ratio: median(ratios.clone()),
            ci95: bootstrap(&ratios),
        }
    }
}

/// One arm beside another.
pub(crate) struct Comparison {
    pub(crate) arm: &'static str,
    pub(crate) vs: &'static str,
    /// Median nanoseconds for one operation.
    pub(crate) ns: f64,
    /// Median of the paired differences.
    pub(crate) over_ns: f64,
    /// Median of the paired ratios.
    pub(crate) ratio: f64,
    /// Its bootstrap 95 % interval.
    pub(crate) ci95: [f64; 2],
}

impl Comparison {
    /// Prints the arm's line, with `more` fields of the benchmark's own.
    pub(crate) fn print(&self, bench: &str, more: serde_json::Value) {
        let round = |value: f64| (value * 1000.0).round() / 1000.0;
        let mut line = json!({
            "bench": bench, "arm": self.arm, "vs": self.vs,
            "ns": round(self.ns), "over_ns": round(self.over_ns),
            "ratio": round(self.ratio), "ci95": self.ci95.map(round),
        });
        if let (Some(line), serde_json::Value::Object(more)) = (line.as_object_mut(), more) {
            line.extend(more);
        }
        println!("{line}");
    }
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    let (middle, even) = (values.len() / 2, values.len().is_multiple_of(2));
    let (below, value, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    match below.iter().copied().max_by(f64::total_cmp) {
        Some(below) if even => (below + *value) / 2.0,
        _ => *value,
    }
}

/// The 95 % interval of the median, from 10,000 resamples; the same seed each time.
pub(crate) fn bootstrap(values: &[f64]) -> [f64; 2] {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as usize % values.len()
    };
    let mut medians: Vec<_> =
        (0..10_000).map(|_| median(values.iter().map(|_| values[next()]).collect())).collect();
    medians.sort_by(f64::total_cmp);
    [medians[250], medians[9749]]
}
