//! What can be said about a topic beside its name, and profiles: such settings under a name.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A topic's settings. What is `None` is left to the broker, and not compared with what is there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TopicSettings {
    /// How many partitions.
    pub partitions: Option<i32>,
    /// How many copies of each partition.
    pub replication: Option<Replication>,
    /// How long records are kept (`retention.ms`).
    pub retention: Option<Retention>,
    /// How many copies must have a record before it is acknowledged (`min.insync.replicas`).
    pub min_in_sync: Option<i32>,
    /// How records lie on the broker's disk (`compression.type`).
    pub compression: Option<TopicCompression>,
    /// Further properties of the topic, by the broker's names.
    pub properties: BTreeMap<String, String>,
}

/// How many copies of each partition there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replication {
    /// So many; a cluster with fewer brokers is an error.
    Factor(i32),
    /// Three, or as many as the cluster has brokers if these are fewer. Fewer copies must be in sync
    /// then: one less than there are copies, but one.
    Auto,
}

impl Replication {
    /// The most that [`Auto`](Self::Auto) takes.
    pub const AUTO: i32 = 3;
}

impl fmt::Display for Replication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Factor(copies) => write!(f, "{copies}"),
            Self::Auto => f.write_str("auto"),
        }
    }
}

/// How long records are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// At least so long, in whole milliseconds.
    For(Duration),
    /// For ever.
    Forever,
}

impl Retention {
    /// Reads `7d`, `12h`, `30m`, `5s`, `250ms` or `forever`. In a `const` another text does not compile.
    ///
    /// # Panics
    /// When the text is none of these.
    pub const fn from_static(text: &'static str) -> Self {
        match Self::read(text) {
            Some(retention) => retention,
            None => panic!(
                "a retention is a whole number above 0 with a unit: `7d`, `12h`, `30m`, `5s`, `250ms`; or `forever`"
            ),
        }
    }

    const fn read(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if let b"forever" = bytes {
            return Some(Self::Forever);
        }
        let (mut at, mut number) = (0, 0_u64);
        while at < bytes.len() && bytes[at].is_ascii_digit() {
            if number > u64::MAX / 100_000_000_000 {
                return None;
            }
            number = number * 10 + (bytes[at] - b'0') as u64;
            at += 1;
        }
        let millis = match bytes.split_at(at).1 {
            b"ms" => 1,
            b"s" => 1_000,
            b"m" => 60_000,
            b"h" => 3_600_000,
            b"d" => 86_400_000,
            _ => return None,
        };
        if number == 0 { None } else { Some(Self::For(Duration::from_millis(number * millis))) }
    }

    /// As the broker has it: milliseconds, or -1 for ever.
    pub(crate) fn millis(self) -> i64 {
        match self {
            Self::For(time) => i64::try_from(time.as_millis()).unwrap_or(i64::MAX),
            Self::Forever => -1,
        }
    }
}

/// A text that is no retention.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a retention: write `7d`, `12h`, `30m`, `5s`, `250ms` or `forever`")]
pub struct InvalidRetention(String);

impl std::str::FromStr for Retention {
    type Err = InvalidRetention;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::read(text).ok_or_else(|| InvalidRetention(text.chars().take(64).collect()))
    }
}

/// How records lie on the broker's disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TopicCompression {
    /// As their producer compressed them.
    Producer,
    /// Not compressed.
    Uncompressed,
    /// gzip.
    Gzip,
    /// Snappy.
    Snappy,
    /// LZ4.
    Lz4,
    /// Zstandard.
    Zstd,
}

impl TopicCompression {
    /// All that there are.
    pub const ALL: [Self; 6] =
        [Self::Producer, Self::Uncompressed, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// As the broker names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Producer => "producer",
            Self::Uncompressed => "uncompressed",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// Settings under a name, for many topics alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// What it says.
    pub settings: TopicSettings,
}

impl Profile {
    /// A profile of one's own.
    pub fn new(name: impl Into<String>, settings: TopicSettings) -> Self {
        Self { name: name.into(), settings }
    }

    /// 3 partitions, 3 copies of which 2 must be in sync, 7 days, snappy.
    pub fn standard() -> Self {
        Self::of("standard", 3, 7, 2)
    }

    /// 1 partition, 3 copies of which 1 must be in sync, 30 days, snappy.
    pub fn error() -> Self {
        Self::of("error", 1, 30, 1)
    }

    /// 1 partition, 3 copies of which 1 must be in sync, 30 days, snappy.
    pub fn dlq() -> Self {
        Self::of("dlq", 1, 30, 1)
    }

    /// Those that are here: `standard`, `error`, `dlq`.
    pub fn all() -> [Self; 3] {
        [Self::standard(), Self::error(), Self::dlq()]
    }

    fn of(name: &str, partitions: i32, days: u32, min_in_sync: i32) -> Self {
        Self::new(
            name,
            TopicSettings {
                partitions: Some(partitions),
                replication: Some(Replication::Factor(3)),
                retention: Some(Retention::For(DAY * days)),
                min_in_sync: Some(min_in_sync),
                compression: Some(TopicCompression::Snappy),
                properties: BTreeMap::new(),
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retention_is_a_number_with_a_unit_or_for_ever() {
        for (text, millis) in
            [("7d", 604_800_000), ("12h", 43_200_000), ("1m", 60_000), ("5s", 5_000), ("9ms", 9)]
        {
            assert_eq!(text.parse::<Retention>().unwrap().millis(), millis, "{text}");
        }
        assert_eq!("forever".parse::<Retention>().unwrap().millis(), -1);
        for text in ["", "7", "d", "0d", "-1d", "1.5d", "7 d", "7days", "99999999999999999999d"] {
            let error = text.parse::<Retention>().unwrap_err().to_string();
            assert!(error.contains("write `7d`"), "{error}");
        }
    }

    #[test]
    fn the_profiles_say_what_the_book_says() {
        let said = Profile::all().map(|profile| {
            let TopicSettings {
                partitions, replication, retention, min_in_sync, compression, ..
            } = profile.settings;
            (
                profile.name,
                partitions.unwrap(),
                replication.unwrap().to_string(),
                retention.unwrap().millis() / 86_400_000,
                min_in_sync.unwrap(),
                compression.unwrap().as_str(),
            )
        });
        assert_eq!(
            said,
            [
                ("standard".into(), 3, "3".into(), 7, 2, "snappy"),
                ("error".into(), 1, "3".into(), 30, 1, "snappy"),
                ("dlq".into(), 1, "3".into(), 30, 1, "snappy"),
            ]
        );
    }
}
