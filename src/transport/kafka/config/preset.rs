//! Presets: a base for one aim, over which every setting that is set wins.

use std::fmt;
use std::str::FromStr;

use super::table::{self, Groups, Setting};
use super::{InvalidChoice, KafkaConfig, Origin, names};

/// A base for one aim. All keep the promises of the defaults: `acks=all`, idempotence, `read_committed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Preset {
    /// More events a second, each a little later. See [`KafkaConfig::throughput`].
    Throughput,
    /// Longer outages waited out, less repeated after a crash. See [`KafkaConfig::reliability`].
    Reliability,
    /// Events sooner, and failures told sooner. See [`KafkaConfig::latency`].
    Latency,
}

impl Preset {
    /// All presets.
    pub const ALL: &'static [Self] = &[Self::Throughput, Self::Reliability, Self::Latency];

    /// Exactly what it changes: the names of settings, and their values as text.
    pub fn changes(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Throughput => &[
                (names::LINGER, "20ms"),
                (names::COMPRESSION, "lz4"),
                (names::FETCH_MIN_BYTES, "65536"),
                (names::PREFETCH, "10000"),
                (names::COMMIT_EVERY, "10000"),
            ],
            Self::Reliability => &[
                (names::MESSAGE_TIMEOUT, "2m"),
                (names::DELIVERY_WAIT, "2m"),
                (names::SEND_WAIT, "30s"),
                (names::COMMIT_EVERY, "100"),
                (names::COMMIT_INTERVAL, "250ms"),
                (names::RETRY_TIERS, "5s,1m,10m,1h"),
            ],
            Self::Latency => &[
                (names::REQUEST_TIMEOUT, "5s"),
                (names::MESSAGE_TIMEOUT, "5s"),
                (names::DELIVERY_WAIT, "5s"),
                (names::SEND_WAIT, "500ms"),
                (names::FETCH_MAX_WAIT, "50ms"),
                (names::BACKOFF, "exponential:20ms:cap=200ms:jitter"),
            ],
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Throughput => "throughput",
            Self::Reliability => "reliability",
            Self::Latency => "latency",
        })
    }
}

impl FromStr for Preset {
    type Err = InvalidChoice;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let preset = Self::ALL.iter().find(|preset| preset.to_string().eq_ignore_ascii_case(text));
        preset
            .copied()
            .ok_or_else(|| InvalidChoice::new(text, "`throughput`, `reliability`, `latency`"))
    }
}

impl KafkaConfig {
    /// More events a second, each a little later: `producer.linger` 20 ms, `producer.compression` lz4,
    /// `consumer.fetch_min_bytes` 64 KiB (which a slow topic waits for, up to `consumer.fetch_max_wait`),
    /// `consumer.prefetch` and `consumer.commit_every` 10,000. Replaces another preset; what was set, or will be, wins.
    #[must_use]
    pub fn throughput(self) -> Self {
        self.with_preset(Preset::Throughput, Origin::Code)
    }

    /// Longer outages waited out, less repeated after a crash: `producer.message_timeout` and `producer.delivery_wait`
    /// 2 min, `producer.send_wait` 30 s, `consumer.commit_every` 100, `consumer.commit_interval` 250 ms,
    /// `failure.retry_tiers` 5 s, 1 min, 10 min and 1 h. Replaces another preset; what was set, or will be, wins.
    #[must_use]
    pub fn reliability(self) -> Self {
        self.with_preset(Preset::Reliability, Origin::Code)
    }

    /// Events sooner, and failures told sooner: `producer.request_timeout`, `producer.message_timeout` and
    /// `producer.delivery_wait` 5 s, `producer.send_wait` 500 ms, `consumer.fetch_max_wait` 50 ms (what a resumed
    /// partition waits for at most), `failure.backoff` exponential from 20 ms to 200 ms. Replaces another preset; what
    /// was set, or will be, wins.
    #[must_use]
    pub fn latency(self) -> Self {
        self.with_preset(Preset::Latency, Origin::Code)
    }

    pub(super) fn with_preset(mut self, preset: Preset, origin: Origin) -> Self {
        let defaults = Groups::default();
        for setting in table::all() {
            if matches!(self.origin(setting.name), Origin::Preset(_)) {
                (setting.copy)(&mut self.groups, &defaults);
                self.origins.remove(setting.name);
            }
        }
        for (name, text) in preset.changes() {
            if let Some(setting) = Setting::of(name)
                && !self.origins.contains_key(name)
            {
                (setting.get_mut)(&mut self.groups).read(text).expect("a test reads every preset");
                self.came_from(setting.name, Origin::Preset(preset));
            }
        }
        self.preset = Some((preset, origin));
        self
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn base() -> KafkaConfig {
        KafkaConfig::new("orders", "localhost:9092")
    }

    #[test]
    fn each_preset_changes_exactly_what_it_says() {
        for preset in Preset::ALL {
            let before = base();
            let after = before.clone().with_preset(*preset, Origin::Code);
            let changed: Vec<_> = before
                .effective()
                .into_iter()
                .zip(after.effective())
                .filter(|(before, after)| {
                    before.value != after.value && after.setting != names::PRESET
                })
                .map(|(_, after)| (after.setting, after.value))
                .collect();
            let mut said: Vec<_> = preset
                .changes()
                .iter()
                .map(|(name, text)| (name.to_string(), text.to_string()))
                .collect();
            said.sort_by_key(|(name, _)| table::all().position(|setting| setting.name == name));
            assert_eq!(changed, said, "{preset}");
            assert_eq!(after.validate(), Ok(()));
            assert_eq!(preset.to_string().parse(), Ok(*preset));
        }
    }

    #[test]
    fn what_is_set_wins_over_a_preset_before_and_after_it() {
        let linger = Duration::from_millis(3);
        assert_eq!(base().linger(linger).throughput().producer().linger, linger);
        assert_eq!(base().throughput().linger(linger).producer().linger, linger);
    }

    #[test]
    fn a_preset_takes_the_place_of_another() {
        let config = base().throughput().latency();
        assert_eq!(config.producer().linger, Duration::ZERO);
        assert_eq!(config.consumer().prefetch, 1_000);
        assert_eq!(config.consumer().fetch_max_wait, Duration::from_millis(50));
    }
}
