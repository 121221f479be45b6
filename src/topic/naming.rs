//! How the topics beside a main topic are named.

use crate::event::{InvalidTopicName, TopicName};
use crate::retry::Tier;

/// How retry, dead-letter and quarantine topics are named after their main topic.
///
/// Default: `<topic>.retry.<tier>`, `<topic>.dlq`, `<topic>.quarantine`; per group: `<topic>.<group>.retry.<tier>` and
/// so on. Whoever takes a naming asks [`validate`](Self::validate) when it is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicNaming {
    retry_infix: String,
    dead_letter_suffix: String,
    quarantine_suffix: String,
    per_group: bool,
}

impl TopicNaming {
    /// Sets what stands between a main topic and a tier's label. Default: `.retry.`.
    #[must_use]
    pub fn retry_infix(mut self, infix: impl Into<String>) -> Self {
        self.retry_infix = infix.into();
        self
    }

    /// Sets what stands after a main topic for its dead letters. Default: `.dlq`.
    #[must_use]
    pub fn dead_letter_suffix(mut self, suffix: impl Into<String>) -> Self {
        self.dead_letter_suffix = suffix.into();
        self
    }

    /// Sets what stands after a main topic for what could not be read. Default: `.quarantine`.
    #[must_use]
    pub fn quarantine_suffix(mut self, suffix: impl Into<String>) -> Self {
        self.quarantine_suffix = suffix.into();
        self
    }

    /// Sets whether each consumer group has topics of its own. Default: `false`.
    ///
    /// Characters of a group that no topic can have become `_`, so that groups that differ in nothing else would share.
    #[must_use]
    pub fn per_group(mut self, on: bool) -> Self {
        self.per_group = on;
        self
    }

    /// Checks that the three are legal and lead to three different topics, whatever the tiers.
    ///
    /// # Errors
    /// The first thing that is wrong, with the values.
    pub fn validate(&self) -> Result<(), InvalidNaming> {
        let parts = [
            ("retry infix", &self.retry_infix),
            ("dead-letter suffix", &self.dead_letter_suffix),
            ("quarantine suffix", &self.quarantine_suffix),
        ];
        for (what, value) in parts {
            if value.is_empty() {
                return Err(InvalidNaming::Empty { what });
            }
            if !value.chars().all(is_legal) {
                return Err(InvalidNaming::Illegal { what, value: value.clone() });
            }
        }
        let collision = |a: usize, b: usize| InvalidNaming::Collision {
            one: parts[a].0,
            one_value: parts[a].1.clone(),
            other: parts[b].0,
            other_value: parts[b].1.clone(),
        };
        let [infix, dead_letter, quarantine] = parts.map(|(_, value)| as_brokers_compare(value));
        if dead_letter == quarantine {
            return Err(collision(1, 2));
        }
        for (at, suffix) in [(1, &dead_letter), (2, &quarantine)] {
            let is_label = |rest: &str| rest.is_empty() || rest.parse::<Tier>().is_ok();
            if suffix.strip_prefix(&infix).is_some_and(is_label) {
                return Err(collision(0, at));
            }
        }
        Ok(())
    }

    /// The topic of a tier.
    ///
    /// # Errors
    /// When the name would be longer than a topic's name may be; the error holds it.
    pub fn retry_topic(
        &self,
        main: &TopicName,
        tier: &Tier,
        group: &str,
    ) -> Result<TopicName, InvalidTopicName> {
        self.name(main, group, &format!("{}{tier}", self.retry_infix))
    }

    /// The topic of dead letters.
    ///
    /// # Errors
    /// When the name would be longer than a topic's name may be; the error holds it.
    pub fn dead_letter_topic(
        &self,
        main: &TopicName,
        group: &str,
    ) -> Result<TopicName, InvalidTopicName> {
        self.name(main, group, &self.dead_letter_suffix)
    }

    /// The topic of records that could not be read.
    ///
    /// # Errors
    /// When the name would be longer than a topic's name may be; the error holds it.
    pub fn quarantine_topic(
        &self,
        main: &TopicName,
        group: &str,
    ) -> Result<TopicName, InvalidTopicName> {
        self.name(main, group, &self.quarantine_suffix)
    }

    fn name(
        &self,
        main: &TopicName,
        group: &str,
        suffix: &str,
    ) -> Result<TopicName, InvalidTopicName> {
        if self.per_group {
            let group: String = group.chars().map(|c| if is_legal(c) { c } else { '_' }).collect();
            TopicName::new(format!("{main}.{group}{suffix}"))
        } else {
            TopicName::new(format!("{main}{suffix}"))
        }
    }
}

fn is_legal(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

/// Brokers refuse a topic whose name differs from another's only in `.` and `_`.
fn as_brokers_compare(name: &str) -> String {
    name.replace('.', "_")
}

impl Default for TopicNaming {
    fn default() -> Self {
        Self {
            retry_infix: ".retry.".into(),
            dead_letter_suffix: ".dlq".into(),
            quarantine_suffix: ".quarantine".into(),
            per_group: false,
        }
    }
}

/// Why names would not be legal, or not different.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidNaming {
    /// Without it the name would be the main topic's.
    #[error("the {what} of topic names must not be empty")]
    Empty {
        /// Which of the three.
        what: &'static str,
    },
    /// Not a part of a topic's name.
    #[error(
        "the {what} {value:?} has characters that no topic's name has; legal are letters, digits, `.`, `_` and `-`"
    )]
    Illegal {
        /// Which of the three.
        what: &'static str,
        /// Its value.
        value: String,
    },
    /// Two of them lead to one topic, or to two that brokers take for one.
    #[error(
        "the {one} {one_value:?} and the {other} {other_value:?} lead to the same topic (`.` and `_` count as equal)"
    )]
    Collision {
        /// One of the three.
        one: &'static str,
        /// Its value.
        one_value: String,
        /// Another one.
        other: &'static str,
        /// Its value.
        other_value: String,
    },
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MAIN: TopicName = TopicName::from_static("orders.placed");

    fn five_seconds() -> Tier {
        Tier::new(Duration::from_secs(5)).unwrap()
    }

    #[test]
    fn names_follow_their_main_topic() {
        let naming = TopicNaming::default();
        assert_eq!(naming.validate(), Ok(()));
        assert_eq!(
            naming.retry_topic(&MAIN, &five_seconds(), "g").unwrap().as_str(),
            "orders.placed.retry.5s"
        );
        assert_eq!(naming.dead_letter_topic(&MAIN, "g").unwrap().as_str(), "orders.placed.dlq");
        assert_eq!(
            naming.quarantine_topic(&MAIN, "g").unwrap().as_str(),
            "orders.placed.quarantine"
        );
    }

    #[test]
    fn per_group_names_hold_the_group_with_legal_characters() {
        let naming = TopicNaming::default().per_group(true);
        let name = naming.retry_topic(&MAIN, &five_seconds(), "mail/service ü").unwrap();
        assert_eq!(name.as_str(), "orders.placed.mail_service__.retry.5s");
        assert_eq!(
            naming.dead_letter_topic(&MAIN, "mail").unwrap().as_str(),
            "orders.placed.mail.dlq"
        );
        assert_eq!(
            naming.quarantine_topic(&MAIN, "mail").unwrap().as_str(),
            "orders.placed.mail.quarantine"
        );
    }

    #[test]
    fn a_name_that_is_too_long_is_refused_by_name() {
        let main = TopicName::new("x".repeat(246)).unwrap();
        assert!(
            TopicNaming::default().dead_letter_suffix(".no").dead_letter_topic(&main, "g").is_ok()
        );
        let error = TopicNaming::default().dead_letter_topic(&main, "g").unwrap_err().to_string();
        assert!(error.contains("xxx.dlq") && error.contains("249"), "{error}");
    }

    #[test]
    fn parts_that_are_empty_or_illegal_are_refused_by_name() {
        for (naming, reason) in [
            (
                TopicNaming::default().retry_infix(""),
                "retry infix of topic names must not be empty",
            ),
            (
                TopicNaming::default().dead_letter_suffix(""),
                "dead-letter suffix of topic names must not be empty",
            ),
            (
                TopicNaming::default().quarantine_suffix("/q"),
                "quarantine suffix \"/q\" has characters",
            ),
        ] {
            let error = naming.validate().unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn parts_that_lead_to_one_topic_are_refused() {
        let naming = TopicNaming::default();
        for naming in [
            naming.clone().dead_letter_suffix(".quarantine"),
            naming.clone().dead_letter_suffix("_quarantine"),
            naming.clone().quarantine_suffix(".retry."),
            naming.clone().dead_letter_suffix(".retry.5s"),
            naming.clone().dead_letter_suffix("_retry_5s"),
            naming.clone().retry_infix(".").dead_letter_suffix(".1m"),
        ] {
            let error = naming.validate().unwrap_err();
            assert!(matches!(error, InvalidNaming::Collision { .. }), "{error}");
        }
        assert_eq!(naming.clone().dead_letter_suffix(".retry.dead").validate(), Ok(()));
        assert_eq!(naming.retry_infix(".").validate(), Ok(()));
    }
}
