//! Chance: where waits get their jitter from, and lanes their key. One that is seeded draws the same
//! each time, so that a run can be repeated.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A source of chance, good enough to spread waits and not for secrets. Its clones draw from it too.
#[derive(Debug, Clone)]
pub struct Chance(Arc<AtomicU64>);

/// The step of SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Chance {
    /// One that draws differently in each process, and from every other one.
    pub fn random() -> Self {
        Self::seeded(RandomState::new().hash_one(STEP))
    }

    /// One that draws the same numbers for the same seed, on any machine.
    pub fn seeded(seed: u64) -> Self {
        Self(Arc::new(AtomicU64::new(seed)))
    }

    /// The next number, each as likely as any other.
    pub fn number(&self) -> u64 {
        let mut z = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The next part, from 0 to 1.
    pub fn part(&self) -> f64 {
        self.number() as f64 / u64::MAX as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(chance: &Chance) -> Vec<u64> {
        (0..5).map(|_| chance.number()).collect()
    }

    #[test]
    fn a_seed_draws_the_same_numbers_each_time() {
        // The first numbers of the reference implementation.
        assert_eq!(draws(&Chance::seeded(0))[..2], [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4]);
        assert_eq!(draws(&Chance::seeded(7)), draws(&Chance::seeded(7)));
        assert_ne!(draws(&Chance::seeded(7)), draws(&Chance::seeded(8)));
        assert_ne!(draws(&Chance::random()), draws(&Chance::random()));
    }

    #[test]
    fn a_clone_goes_on_where_the_other_one_is() {
        let (one, both) = (Chance::seeded(7), Chance::seeded(7));
        let clone = both.clone();
        let expected = draws(&one);
        let drawn: Vec<_> =
            (0..5).map(|n| if n % 2 == 0 { both.number() } else { clone.number() }).collect();
        assert_eq!(drawn, expected);
    }

    #[test]
    fn parts_lie_between_0_and_1_and_are_spread() {
        let chance = Chance::seeded(1);
        let parts: Vec<_> = (0..1_000).map(|_| chance.part()).collect();
        assert!(parts.iter().all(|part| (0.0..=1.0).contains(part)));
        for tenth in 0..10 {
            let from = f64::from(tenth) / 10.0;
            let in_it = parts.iter().filter(|part| (from..from + 0.1).contains(*part)).count();
            assert!((60..=140).contains(&in_it), "{in_it} from {from}");
        }
    }
}
