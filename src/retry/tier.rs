//! Tiers: the delays of the retry topics, and the labels by which topics name them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::duration::{InvalidDuration, format_duration, parse_duration};

/// One delayed retry topic's delay: whole milliseconds, more than zero.
///
/// Its label (`500ms`, `5s`, `1m`, `2h`, `1d`) is the one text of that delay, in both directions: a minute is `1m`,
/// and `60s` is refused, since the label ends up in a topic's name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tier(Duration);

impl Tier {
    /// The tier of a delay.
    ///
    /// # Errors
    /// When the delay is zero or not a whole number of milliseconds.
    pub fn new(delay: Duration) -> Result<Self, InvalidTier> {
        let tier = Self(delay);
        tier.check()?;
        Ok(tier)
    }

    /// A tier that [`check`](Self::check) is still to see.
    pub(super) fn unchecked(delay: Duration) -> Self {
        Self(delay)
    }

    pub(super) fn check(self) -> Result<(), InvalidTier> {
        if self.0.is_zero() {
            return Err(InvalidTier::Zero);
        }
        if !self.0.subsec_nanos().is_multiple_of(1_000_000) {
            return Err(InvalidTier::Fraction { delay: self.0 });
        }
        Ok(())
    }

    /// How long an event waits in it.
    pub fn delay(self) -> Duration {
        self.0
    }

    /// The label, as topics have it.
    pub fn label(self) -> String {
        format_duration(self.0)
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label())
    }
}

impl fmt::Debug for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label())
    }
}

impl FromStr for Tier {
    type Err = InvalidTier;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let tier = Self::new(parse_duration(text)?)?;
        let label = tier.label();
        if label == text { Ok(tier) } else { Err(InvalidTier::Label { text: text.into(), label }) }
    }
}

/// Reads tiers: labels with commas between (`5s,1m,10m`), or `none`. Their order is the policy's to check.
///
/// # Errors
/// When one of them is not a label.
pub fn parse_tiers(text: &str) -> Result<Vec<Tier>, InvalidTier> {
    if text.trim() == "none" {
        return Ok(Vec::new());
    }
    text.split(',').map(|label| label.trim().parse()).collect()
}

/// Writes tiers as [`parse_tiers`] reads them.
pub fn format_tiers(tiers: &[Tier]) -> String {
    if tiers.is_empty() {
        return "none".into();
    }
    tiers.iter().map(|tier| tier.label()).collect::<Vec<_>>().join(",")
}

/// Why a delay or a text is no tier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidTier {
    /// A tier without delay would be an endless loop through the broker.
    #[error(
        "a tier's delay must be longer than zero; retries without delay are the immediate ones"
    )]
    Zero,
    /// Labels and broker timestamps know nothing shorter than a millisecond.
    #[error("a tier's delay is a whole number of milliseconds, not {delay:?}")]
    Fraction {
        /// The delay.
        delay: Duration,
    },
    /// Two texts for one delay would be two topics.
    #[error("a tier of {text:?} is written {label:?}, as its topic is named")]
    Label {
        /// The text.
        text: String,
        /// The label of the same delay.
        label: String,
    },
    /// Not a duration at all.
    #[error(transparent)]
    Duration(#[from] InvalidDuration),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_tier_has_one_label() {
        for label in ["500ms", "5s", "1m", "10m", "90s", "2h", "1d"] {
            assert_eq!(label.parse::<Tier>().unwrap().label(), label);
        }
        let error = "60s".parse::<Tier>().unwrap_err().to_string();
        assert!(error.contains("\"60s\"") && error.contains("\"1m\""), "{error}");
        assert!("1m30s".parse::<Tier>().unwrap_err().to_string().contains("\"90s\""));
    }

    #[test]
    fn no_delay_and_parts_of_a_millisecond_are_no_tiers() {
        assert_eq!(Tier::new(Duration::ZERO), Err(InvalidTier::Zero));
        assert_eq!("0s".parse::<Tier>(), Err(InvalidTier::Zero));
        assert!(matches!(
            Tier::new(Duration::from_micros(1_500)),
            Err(InvalidTier::Fraction { .. })
        ));
        assert!(matches!("soon".parse::<Tier>(), Err(InvalidTier::Duration(_))));
    }

    #[test]
    fn a_list_of_tiers_is_read_and_written() {
        let tiers = parse_tiers("5s, 1m,10m").unwrap();
        assert_eq!(format_tiers(&tiers), "5s,1m,10m");
        assert_eq!(parse_tiers("none"), Ok(vec![]));
        assert_eq!(format_tiers(&[]), "none");
        assert!(parse_tiers("5s,,1m").is_err());
        assert!(parse_tiers("").is_err());
    }

    proptest! {
        #[test]
        fn every_tier_survives_being_written_and_read(millis in 1..=u64::MAX) {
            let tier = Tier::new(Duration::from_millis(millis)).unwrap();
            prop_assert_eq!(tier.label().parse::<Tier>(), Ok(tier));
        }
    }
}
