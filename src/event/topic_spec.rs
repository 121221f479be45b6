//! A topic as it is declared: its name, what kind it is, and its settings.

use std::collections::BTreeMap;
use std::fmt;

use super::TopicName;
use super::topic_settings::{Profile, Replication, Retention, TopicCompression, TopicSettings};

/// What lies on a topic, which decides what is cleaned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TopicKind {
    /// What happened. Old records are deleted (`cleanup.policy=delete`).
    Event,
    /// What is to be done. Old records are deleted (`cleanup.policy=delete`).
    Command,
    /// The state of each key. All but the last record of each is cleaned away (`cleanup.policy=compact`).
    State,
}

impl TopicKind {
    /// Its `cleanup.policy`.
    pub fn cleanup_policy(self) -> &'static str {
        match self {
            Self::Event | Self::Command => "delete",
            Self::State => "compact",
        }
    }
}

impl fmt::Display for TopicKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Event => "event",
            Self::Command => "command",
            Self::State => "state",
        })
    }
}

/// A topic as it is declared. Usually derived with `#[derive(Topic)]`; built here where the name is
/// known only at run time.
///
/// The profile is `standard` unless another is said; what is set besides wins over it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    name: TopicName,
    kind: TopicKind,
    profile: Profile,
    own: TopicSettings,
}

/// Properties of topics that a setting of its own decides, and the setting.
const DECIDED: [(&str, &str); 4] = [
    ("cleanup.policy", "the kind"),
    ("retention.ms", "`retention`"),
    ("min.insync.replicas", "`min_in_sync`"),
    ("compression.type", "`compression`"),
];

impl TopicSpec {
    /// A topic of this kind, with the profile `standard`.
    pub fn new(name: TopicName, kind: TopicKind) -> Self {
        Self { name, kind, profile: Profile::standard(), own: TopicSettings::default() }
    }

    /// Sets what holds where nothing else is said. Default: [`Profile::standard`].
    #[must_use]
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// Sets how many partitions it has, from 1 up. Default: the profile's.
    #[must_use]
    pub fn partitions(mut self, partitions: i32) -> Self {
        self.own.partitions = Some(partitions);
        self
    }

    /// Sets how many copies of each partition there are, from 1 up. Default: the profile's.
    #[must_use]
    pub fn replication(mut self, replication: Replication) -> Self {
        self.own.replication = Some(replication);
        self
    }

    /// Sets how long records are kept. A state topic keeps the last of each key and has none. Default: the
    /// profile's.
    #[must_use]
    pub fn retention(mut self, retention: Retention) -> Self {
        self.own.retention = Some(retention);
        self
    }

    /// Sets how many copies must have a record before it is acknowledged. Default: the profile's.
    #[must_use]
    pub fn min_in_sync(mut self, copies: i32) -> Self {
        self.own.min_in_sync = Some(copies);
        self
    }

    /// Sets how records lie on the broker's disk. Default: the profile's.
    #[must_use]
    pub fn compression(mut self, compression: TopicCompression) -> Self {
        self.own.compression = Some(compression);
        self
    }

    /// Sets a further property of the topic, by the broker's name: `segment.bytes`. Default: the profile's.
    #[must_use]
    pub fn property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.own.properties.insert(name.into(), value.into());
        self
    }

    /// Its name.
    pub fn name(&self) -> &TopicName {
        &self.name
    }

    /// What lies on it.
    pub fn kind(&self) -> TopicKind {
        self.kind
    }

    /// All that is said about it: the profile, and over it what was set.
    pub fn settings(&self) -> TopicSettings {
        let (base, own) = (&self.profile.settings, &self.own);
        let retention = match self.kind {
            TopicKind::State => None,
            _ => own.retention.or(base.retention),
        };
        let mut properties = base.properties.clone();
        properties.extend(own.properties.clone());
        TopicSettings {
            partitions: own.partitions.or(base.partitions),
            replication: own.replication.or(base.replication),
            retention,
            min_in_sync: own.min_in_sync.or(base.min_in_sync),
            compression: own.compression.or(base.compression),
            properties,
        }
    }

    /// Its profile, and what was set besides.
    #[cfg(feature = "cli")]
    pub(crate) fn parts(&self) -> (&Profile, &TopicSettings) {
        (&self.profile, &self.own)
    }

    /// The topic's properties as the broker names them, where there are so many copies.
    pub fn configuration(&self, copies: Option<i32>) -> BTreeMap<String, String> {
        let settings = self.settings();
        let mut all = settings.properties;
        let mut set = |name: &str, value: Option<String>| {
            all.extend(value.map(|value| (name.to_owned(), value)));
        };
        let in_sync = match settings.replication {
            // An unclean clamp would make a topic of one copy one that takes nothing.
            Some(Replication::Auto) => settings.min_in_sync.map(|least| {
                let copies = copies.unwrap_or(Replication::AUTO);
                least.min((copies - 1).max(1))
            }),
            _ => settings.min_in_sync,
        };
        set("cleanup.policy", Some(self.kind.cleanup_policy().to_owned()));
        set("retention.ms", settings.retention.map(|kept| kept.millis().to_string()));
        set("min.insync.replicas", in_sync.map(|copies| copies.to_string()));
        set("compression.type", settings.compression.map(|how| how.as_str().to_owned()));
        all
    }

    /// How many copies of it a cluster of so many brokers holds; `None`: the broker decides.
    ///
    /// # Errors
    /// When the cluster has fewer brokers than copies are declared.
    pub fn copies(&self, brokers: Option<i32>) -> Result<Option<i32>, InvalidTopicSpec> {
        match (self.settings().replication, brokers) {
            (Some(Replication::Factor(copies)), Some(brokers)) if copies > brokers => Err(self
                .wrong(format!(
                    "it wants {copies} copies and the cluster has {brokers} broker{}; \
                     say `replication = auto`, or add brokers",
                    if brokers == 1 { "" } else { "s" }
                ))),
            (Some(Replication::Factor(copies)), _) => Ok(Some(copies)),
            (Some(Replication::Auto), Some(brokers)) => {
                Ok(Some(brokers.clamp(1, Replication::AUTO)))
            }
            (Some(Replication::Auto) | None, _) => Ok(None),
        }
    }

    /// Checks what can be checked without a broker.
    ///
    /// # Errors
    /// The first thing that is wrong, with its value.
    pub fn validate(&self) -> Result<(), InvalidTopicSpec> {
        let settings = self.settings();
        let wrong = |problem: String| Err(self.wrong(problem));
        let factor = match settings.replication {
            Some(Replication::Factor(copies)) => Some(copies),
            _ => None,
        };
        for (what, number) in [
            ("partitions", settings.partitions),
            ("replication", factor),
            ("min_in_sync", settings.min_in_sync),
        ] {
            if let Some(number) = number.filter(|number| *number < 1) {
                return wrong(format!("`{what}` is {number}; it starts at 1"));
            }
        }
        if let (Some(copies), Some(least)) = (factor, settings.min_in_sync)
            && least > copies
        {
            return wrong(format!(
                "`min_in_sync` is {least} and `replication` {copies}; nothing could be published to it"
            ));
        }
        if self.kind == TopicKind::State && self.own.retention.is_some() {
            return wrong(
                "a state topic keeps the last record of each key; leave `retention` out".into(),
            );
        }
        for (name, setting) in DECIDED {
            if settings.properties.contains_key(name) {
                return wrong(format!("the property {name} is decided by {setting}; say it there"));
            }
        }
        Ok(())
    }

    fn wrong(&self, problem: String) -> InvalidTopicSpec {
        InvalidTopicSpec { topic: self.name.clone(), problem }
    }
}

/// Why a topic cannot be as it is declared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("topic {topic} cannot be as it is declared: {problem}")]
pub struct InvalidTopicSpec {
    topic: TopicName,
    problem: String,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn spec(kind: TopicKind) -> TopicSpec {
        TopicSpec::new(TopicName::from_static("users"), kind)
    }

    #[test]
    fn what_is_set_wins_over_the_profile_whichever_comes_first() {
        let day = Retention::For(Duration::from_secs(86_400));
        let spec = spec(TopicKind::Event).partitions(6).retention(day).profile(Profile::dlq());
        let settings = spec.settings();
        assert_eq!((settings.partitions, settings.retention), (Some(6), Some(day)));
        assert_eq!(settings.min_in_sync, Some(1));
    }

    #[test]
    fn a_kind_decides_what_is_cleaned_away() {
        for (kind, policy, retention) in [
            (TopicKind::Event, "delete", Some("604800000")),
            (TopicKind::Command, "delete", Some("604800000")),
            (TopicKind::State, "compact", None),
        ] {
            let all = spec(kind).property("segment.bytes", "1000000").configuration(None);
            assert_eq!(all["cleanup.policy"], policy);
            assert_eq!(all.get("retention.ms").map(String::as_str), retention);
            assert_eq!(all["segment.bytes"], "1000000");
            assert_eq!(all["min.insync.replicas"], "2");
        }
    }

    #[test]
    fn copies_are_as_many_as_said_unless_they_are_automatic() {
        let three = spec(TopicKind::Event);
        assert_eq!(three.copies(Some(3)), Ok(Some(3)));
        assert_eq!(three.copies(None), Ok(Some(3)));
        let error = three.copies(Some(1)).unwrap_err().to_string();
        assert!(error.contains("wants 3 copies and the cluster has 1 broker;"), "{error}");
        assert!(error.contains("replication = auto"), "{error}");
        let auto = three.replication(Replication::Auto);
        for (brokers, copies, in_sync) in [(1, 1, "1"), (2, 2, "1"), (3, 3, "2"), (9, 3, "2")] {
            assert_eq!(auto.copies(Some(brokers)), Ok(Some(copies)));
            assert_eq!(auto.configuration(Some(copies))["min.insync.replicas"], in_sync);
        }
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let day = Retention::For(Duration::from_secs(86_400));
        for (wrong, reason) in [
            (spec(TopicKind::Event).partitions(0), "`partitions` is 0"),
            (spec(TopicKind::Event).replication(Replication::Factor(-1)), "`replication` is -1"),
            (spec(TopicKind::Event).min_in_sync(4), "`min_in_sync` is 4 and `replication` 3"),
            (spec(TopicKind::State).retention(day), "leave `retention` out"),
            (spec(TopicKind::Event).property("retention.ms", "1"), "decided by `retention`"),
        ] {
            let error = wrong.validate().unwrap_err().to_string();
            assert!(error.contains("users") && error.contains(reason), "{error}");
        }
        assert_eq!(spec(TopicKind::State).validate(), Ok(()));
    }
}
