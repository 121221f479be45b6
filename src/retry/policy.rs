//! Retry policies: first in place, then through the tiers, then the dead-letter topic.

use std::time::Duration;

use super::backoff::Backoff;
use super::tier::{InvalidTier, Tier, format_tiers};

/// The most tiers that a policy may have: each is a topic for every main topic.
pub const MAX_TIERS: usize = 16;

/// What happens to an event whose handler failed and may succeed later.
///
/// Default: 2 retries in place (exponential from 100 ms, at most 1 s, with jitter), then tiers of 5 s, 1 min and
/// 10 min, then the dead-letter topic.
///
/// ```
/// use std::time::Duration;
/// use tidings::retry::RetryPolicy;
///
/// let policy = RetryPolicy::tiers([Duration::from_secs(5), Duration::from_secs(60)]).immediate(1);
/// assert!(policy.validate().is_ok());
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// Retries in place, before the first tier and again at each tier. Later events of the key wait meanwhile.
    pub immediate: u32,
    /// How long to wait before each of them.
    pub backoff: Backoff,
    /// The delayed retries, shortest first.
    pub tiers: Vec<Tier>,
    /// Whether an event that ran out of retries goes to the dead-letter topic. Without, there is no such topic.
    pub dead_letter: bool,
}

impl RetryPolicy {
    /// The default with other tiers, shortest first. [`validate`](Self::validate) says whether they are sound, which
    /// whoever takes the policy asks when it is built.
    pub fn tiers(delays: impl IntoIterator<Item = Duration>) -> Self {
        Self { tiers: delays.into_iter().map(Tier::unchecked).collect(), ..Self::default() }
    }

    /// No retries at all: the first failure is a dead letter.
    pub fn none() -> Self {
        Self { immediate: 0, tiers: Vec::new(), ..Self::default() }
    }

    /// Sets how many retries there are in place, before the first tier and again at each tier. Default: 2.
    #[must_use]
    pub fn immediate(mut self, retries: u32) -> Self {
        self.immediate = retries;
        self
    }

    /// Sets how long to wait before each retry in place. Default: exponential from 100 ms, at most 1 s, with
    /// jitter.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Sets whether there is a dead-letter topic. Default: `true`.
    #[must_use]
    pub fn dead_letter(mut self, on: bool) -> Self {
        self.dead_letter = on;
        self
    }

    /// Checks the tiers: each longer than the one before, whole milliseconds, at most [`MAX_TIERS`].
    ///
    /// # Errors
    /// The first thing that is wrong, with the values.
    pub fn validate(&self) -> Result<(), InvalidRetryPolicy> {
        if self.tiers.len() > MAX_TIERS {
            return Err(InvalidRetryPolicy::TooMany { count: self.tiers.len() });
        }
        for tier in &self.tiers {
            tier.check().map_err(|source| InvalidRetryPolicy::Tier {
                tiers: format_tiers(&self.tiers),
                source,
            })?;
        }
        match self.tiers.windows(2).find(|pair| pair[0] >= pair[1]) {
            None => Ok(()),
            Some(pair) if pair[0] == pair[1] => Err(InvalidRetryPolicy::Doubled { tier: pair[0] }),
            Some(pair) => Err(InvalidRetryPolicy::NotAscending { before: pair[0], after: pair[1] }),
        }
    }

    /// The longest time that an event waits between its first failure and its dead letter: all tiers, and the waits in
    /// place before the first tier and at each one. The time that handlers and the broker take comes on top.
    pub fn longest_span(&self) -> Duration {
        let stops = u32::try_from(self.tiers.len()).unwrap_or(u32::MAX).saturating_add(1);
        let in_place = self.backoff.total(self.immediate).saturating_mul(stops);
        self.tiers.iter().fold(in_place, |sum, tier| sum.saturating_add(tier.delay()))
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            immediate: 2,
            backoff: Backoff::default(),
            tiers: [5, 60, 600].map(|seconds| Tier::unchecked(Duration::from_secs(seconds))).into(),
            dead_letter: true,
        }
    }
}

/// Why a retry policy cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRetryPolicy {
    /// Each tier is a topic.
    #[error("a retry policy has at most {MAX_TIERS} tiers, this one has {count}")]
    TooMany {
        /// How many there are.
        count: usize,
    },
    /// Two tiers of one delay would be one topic.
    #[error("the retry tier {tier} is there twice")]
    Doubled {
        /// The tier.
        tier: Tier,
    },
    /// Tiers go from the shortest to the longest.
    #[error("retry tiers go from the shortest to the longest, but {before} stands before {after}")]
    NotAscending {
        /// The longer one, which stands first.
        before: Tier,
        /// The shorter one after it.
        after: Tier,
    },
    /// A delay that no tier can have.
    #[error("the retry tiers {tiers} hold a delay that no tier can have")]
    Tier {
        /// All tiers.
        tiers: String,
        /// What is wrong with one of them.
        source: InvalidTier,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds<const N: usize>(seconds: [u64; N]) -> RetryPolicy {
        RetryPolicy::tiers(seconds.map(Duration::from_secs))
    }

    #[test]
    fn the_default_is_two_in_place_three_tiers_and_the_dead_letter_topic() {
        let policy = RetryPolicy::default();
        assert_eq!(policy, seconds([5, 60, 600]));
        assert_eq!((policy.immediate, policy.dead_letter), (2, true));
        assert_eq!(policy.backoff.to_string(), "exponential:100ms:cap=1s:jitter");
        assert_eq!(policy.validate(), Ok(()));
    }

    #[test]
    fn setters_change_what_they_say() {
        let policy = RetryPolicy::none()
            .immediate(7)
            .backoff(Backoff::fixed(Duration::ZERO))
            .dead_letter(false);
        assert_eq!((policy.immediate, policy.tiers.len(), policy.dead_letter), (7, 0, false));
        assert_eq!(RetryPolicy::none().validate(), Ok(()));
        assert_eq!(RetryPolicy::none().longest_span(), Duration::ZERO);
    }

    #[test]
    fn tiers_that_cannot_work_are_refused_by_name() {
        for (policy, reason) in [
            (seconds([5, 5]), "5s is there twice"),
            (seconds([60, 5]), "1m stands before 5s"),
            (seconds([0, 5]), "longer than zero"),
            (RetryPolicy::tiers([Duration::from_micros(5)]), "5us"),
            (
                RetryPolicy::tiers((1..=17).map(Duration::from_secs)),
                "at most 16 tiers, this one has 17",
            ),
        ] {
            let error = crate::error::chain(&policy.validate().unwrap_err());
            assert!(error.contains(reason), "{error}");
        }
        assert_eq!(RetryPolicy::tiers((1..=16).map(Duration::from_secs)).validate(), Ok(()));
    }

    #[test]
    fn the_longest_span_counts_the_waits_in_place_at_each_stop() {
        let policy = RetryPolicy::default();
        assert_eq!(
            policy.longest_span(),
            Duration::from_secs(665) + 4 * Duration::from_millis(300)
        );
        let endless = RetryPolicy::tiers([Duration::MAX]).immediate(u32::MAX);
        assert_eq!(endless.longest_span(), Duration::MAX);
    }
}
