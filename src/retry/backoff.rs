//! Backoffs: how long to wait before the n-th retry in place.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::chance::Chance;
use super::duration::{InvalidDuration, format_duration, from_nanos, parse_duration};

/// How the wait before a retry grows. `n` is the retry's number, from 1.
///
/// As text: `fixed:100ms`, `linear:100ms:cap=1s`, `exponential:100ms:cap=1s:jitter`, `…:jitter=0.2`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    growth: Growth,
    base: Duration,
    cap: Option<Duration>,
    jitter: Jitter,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Growth {
    Fixed,
    Linear,
    Exponential,
}

impl Backoff {
    /// The same wait each time.
    pub const fn fixed(delay: Duration) -> Self {
        Self::new(Growth::Fixed, delay)
    }

    /// `delay · n`.
    pub const fn linear(delay: Duration) -> Self {
        Self::new(Growth::Linear, delay)
    }

    /// `delay · 2^(n-1)`.
    pub const fn exponential(delay: Duration) -> Self {
        Self::new(Growth::Exponential, delay)
    }

    const fn new(growth: Growth, base: Duration) -> Self {
        Self { growth, base, cap: None, jitter: Jitter::NONE }
    }

    /// No wait is longer than this. Default: no cap.
    #[must_use]
    pub const fn cap(mut self, longest: Duration) -> Self {
        self.cap = Some(longest);
        self
    }

    /// Spreads waits so that those who failed together do not come back together: `true`, `false`, or the part of the
    /// wait that is left to chance. Default: none.
    #[must_use]
    pub fn jitter(mut self, jitter: impl Into<Jitter>) -> Self {
        self.jitter = jitter.into();
        self
    }

    /// The longest wait before retry `n`: without jitter, with the cap. Never overflows. Zero for `n` = 0.
    pub fn delay(&self, n: u32) -> Duration {
        if n == 0 {
            return Duration::ZERO;
        }
        let delay = match self.growth {
            Growth::Fixed => self.base,
            Growth::Linear => self.base.saturating_mul(n),
            Growth::Exponential => {
                let base = self.base.as_nanos();
                let shift = n - 1;
                let nanos = if base == 0 {
                    0
                } else if shift < base.leading_zeros() {
                    base << shift
                } else {
                    u128::MAX
                };
                saturating(nanos)
            }
        };
        self.cap.map_or(delay, |cap| delay.min(cap))
    }

    /// The wait before retry `n`, drawn by the jitter: never longer than [`delay`](Self::delay).
    pub fn jittered(&self, n: u32, chance: &Chance) -> Duration {
        match self.jitter {
            Jitter::NONE => self.delay(n),
            Jitter(_) => self.drawn(n, chance.part()),
        }
    }

    /// The wait before retry `n` at a drawn part of 0 (the longest) to 1 (the shortest).
    fn drawn(&self, n: u32, part: f64) -> Duration {
        let delay = self.delay(n);
        let less = delay.as_secs_f64() * self.jitter.0 * part;
        Duration::try_from_secs_f64(less).map_or(Duration::ZERO, |less| delay.saturating_sub(less))
    }

    /// The sum of the longest waits of retries 1 to `n`, in a few steps however large `n` is.
    pub(super) fn total(&self, n: u32) -> Duration {
        let mut total = Duration::ZERO;
        let mut at = 1;
        match self.growth {
            Growth::Fixed => {}
            Growth::Linear => {
                let base = self.base.as_nanos();
                let under_cap = match self.cap {
                    Some(cap) if base > 0 => {
                        u32::try_from(cap.as_nanos() / base).map_or(n, |k| k.min(n))
                    }
                    _ => n,
                };
                let k = u128::from(under_cap);
                total = saturating(base.saturating_mul(k * (k + 1) / 2));
                at = under_cap.saturating_add(1);
            }
            Growth::Exponential => {
                let end = self.cap.unwrap_or(Duration::MAX);
                while at <= n && !self.base.is_zero() && self.delay(at) < end {
                    total = total.saturating_add(self.delay(at));
                    at += 1;
                }
            }
        }
        // From here on all waits are the same.
        let left = n.saturating_sub(at - 1);
        if left == 0 { total } else { total.saturating_add(self.delay(at).saturating_mul(left)) }
    }
}

fn saturating(nanos: u128) -> Duration {
    from_nanos(nanos).unwrap_or(Duration::MAX)
}

/// Exponential from 100 ms, capped at 1 s, with jitter.
impl Default for Backoff {
    fn default() -> Self {
        Self::exponential(Duration::from_millis(100)).cap(Duration::from_secs(1)).jitter(true)
    }
}

/// The part of a wait that is left to chance, 0 to 1: a wait `d` becomes one between `d · (1 - part)` and `d`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Jitter(f64);

impl Jitter {
    const NONE: Self = Self(0.0);
    /// What `true` means.
    const HALF: Self = Self(0.5);
}

impl From<bool> for Jitter {
    /// `true` leaves half of the wait to chance.
    fn from(on: bool) -> Self {
        if on { Self::HALF } else { Self::NONE }
    }
}

impl From<f64> for Jitter {
    /// A part under 0 (or not a number) is taken as 0, one over 1 as 1.
    fn from(part: f64) -> Self {
        Self(if part.is_nan() { 0.0 } else { part.clamp(0.0, 1.0) })
    }
}

impl fmt::Display for Backoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let growth = match self.growth {
            Growth::Fixed => "fixed",
            Growth::Linear => "linear",
            Growth::Exponential => "exponential",
        };
        write!(f, "{growth}:{}", format_duration(self.base))?;
        if let Some(cap) = self.cap {
            write!(f, ":cap={}", format_duration(cap))?;
        }
        match self.jitter {
            Jitter::NONE => Ok(()),
            Jitter::HALF => f.write_str(":jitter"),
            Jitter(part) => write!(f, ":jitter={part}"),
        }
    }
}

impl FromStr for Backoff {
    type Err = InvalidBackoff;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split(':');
        let growth = match parts.next() {
            Some("fixed") => Growth::Fixed,
            Some("linear") => Growth::Linear,
            Some("exponential") => Growth::Exponential,
            other => return Err(InvalidBackoff::Growth { text: cut(other.unwrap_or_default()) }),
        };
        let base = parts.next().ok_or(InvalidBackoff::NoDelay)?;
        let mut backoff = Self::new(growth, parse_duration(base)?);
        let (mut capped, mut spread) = (false, false);
        for part in parts {
            let (name, value) =
                part.split_once('=').map_or((part, None), |(name, value)| (name, Some(value)));
            match (name, value) {
                ("cap", Some(cap)) if !capped => {
                    backoff = backoff.cap(parse_duration(cap)?);
                    capped = true;
                }
                ("jitter", value) if !spread => {
                    backoff.jitter = match value {
                        None => Jitter::HALF,
                        Some(value) => match value.parse() {
                            Ok(part) if (0.0..=1.0).contains(&part) => Jitter(part),
                            _ => return Err(InvalidBackoff::Jitter { text: cut(value) }),
                        },
                    };
                    spread = true;
                }
                _ => return Err(InvalidBackoff::Part { text: cut(part) }),
            }
        }
        Ok(backoff)
    }
}

fn cut(text: &str) -> String {
    text.chars().take(64).collect()
}

/// Why a text is no backoff.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidBackoff {
    /// It does not say how waits grow.
    #[error(
        "{text:?} is no backoff; write `fixed:100ms`, `linear:100ms:cap=1s` or `exponential:100ms:cap=1s:jitter`"
    )]
    Growth {
        /// What stands in its place.
        text: String,
    },
    /// It has no delay to start from.
    #[error("a backoff needs a delay after its first colon, as in `fixed:100ms`")]
    NoDelay,
    /// A part that is neither a cap nor a jitter, or is there twice.
    #[error(
        "{text:?} is no part of a backoff; after the delay there may be one `cap=1s` and one `jitter` or `jitter=0.2`"
    )]
    Part {
        /// The part.
        text: String,
    },
    /// The part left to chance is no number, or not between 0 and 1.
    #[error("a backoff's jitter is a number from 0 to 1, not {text:?}")]
    Jitter {
        /// What was given.
        text: String,
    },
    /// The delay or the cap is not a duration.
    #[error(transparent)]
    Duration(#[from] InvalidDuration),
}

#[cfg(test)]
#[path = "backoff_tests.rs"]
mod tests;
