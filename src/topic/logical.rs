//! Logical topic names: what a topic is called here, and in the environment what it is called there.

use std::collections::BTreeMap;

use crate::event::TopicName;

/// What stands before the variable of each logical name.
pub const TOPIC_VARIABLE: &str = "KAFKA_TOPIC_";

/// Topics by their logical names: `stage_complete` is what `KAFKA_TOPIC_STAGE_COMPLETE` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogicalTopics(BTreeMap<String, TopicName>);

/// Why logical names lead to no topics: all that is wrong, at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("topics are not configured: {}", problems.join("; "))]
pub struct InvalidLogicalTopics {
    /// One sentence for each.
    pub problems: Vec<String>,
}

impl LogicalTopics {
    /// Looks the names up in the process's environment.
    ///
    /// # Errors
    /// Every name whose variable is missing, empty or no topic's name, and names that collide.
    pub fn from_env<'a>(
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, InvalidLogicalTopics> {
        // A value that is not Unicode is as wrong as any other that is no topic's name.
        let vars = std::env::vars_os().map(|(name, value)| {
            (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
        });
        Self::from_vars(names, vars)
    }

    /// Looks the names up in these variables.
    ///
    /// # Errors
    /// As [`from_env`](Self::from_env).
    pub fn from_vars<'a>(
        names: impl IntoIterator<Item = &'a str>,
        vars: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, InvalidLogicalTopics> {
        let vars: BTreeMap<_, _> = vars.into_iter().collect();
        let (mut found, mut problems) = (BTreeMap::new(), Vec::new());
        for name in names {
            let variable = variable(name);
            match vars.get(&variable).map(String::as_str) {
                None | Some("") => problems.push(format!("{variable} is not set")),
                Some(value) => match TopicName::new(value) {
                    Ok(topic) => drop(found.insert(name.to_owned(), topic)),
                    Err(error) => problems.push(format!("{variable}: {error}")),
                },
            }
        }
        if let Some((one, other)) = TopicName::collision(found.values()) {
            problems.push(format!("{one} and {other} are one topic to brokers"));
        }
        match problems.is_empty() {
            true => Ok(Self(found)),
            false => Err(InvalidLogicalTopics { problems }),
        }
    }

    /// The topic of a logical name.
    ///
    /// # Errors
    /// When it was not asked for when the names were looked up.
    pub fn get(&self, name: &str) -> Result<&TopicName, UnknownLogicalTopic> {
        self.0.get(name).ok_or_else(|| UnknownLogicalTopic(name.to_owned()))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &TopicName)> {
        self.0.iter().map(|(name, topic)| (name.as_str(), topic))
    }
}

/// A logical name that was not looked up at start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no topic is known as {0:?}; name it where the logical topics are looked up")]
pub struct UnknownLogicalTopic(String);

/// `stage-complete`, `stage.complete` and `stage_complete` are all `KAFKA_TOPIC_STAGE_COMPLETE`.
fn variable(name: &str) -> String {
    let tail = name.chars().map(|c| match c {
        c if c.is_ascii_alphanumeric() => c.to_ascii_uppercase(),
        _ => '_',
    });
    TOPIC_VARIABLE.chars().chain(tail).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vars(vars: &[(&str, &str)]) -> Vec<(String, String)> {
        vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_logical_name_is_what_its_variable_says() {
        let vars = vars(&[("KAFKA_TOPIC_STAGE_COMPLETE", "prod.stage.complete"), ("OTHER", "x")]);
        let topics = LogicalTopics::from_vars(["stage_complete"], vars.clone()).unwrap();
        assert_eq!(topics.get("stage_complete").unwrap().as_str(), "prod.stage.complete");
        assert_eq!(topics.iter().count(), 1);
        let error = topics.get("stage_failed").unwrap_err().to_string();
        assert!(error.contains("\"stage_failed\""), "{error}");
        assert!(LogicalTopics::from_vars(["stage-complete"], vars).is_ok());
    }

    #[test]
    fn all_that_are_missing_or_wrong_are_listed_in_one_error() {
        let vars = vars(&[
            ("KAFKA_TOPIC_A", "a.b"),
            ("KAFKA_TOPIC_B", "a_b"),
            ("KAFKA_TOPIC_EMPTY", ""),
            ("KAFKA_TOPIC_WRONG", "not a topic"),
        ]);
        let names = ["a", "b", "empty", "wrong", "missing"];
        let error = LogicalTopics::from_vars(names, vars).unwrap_err().to_string();
        for problem in [
            "KAFKA_TOPIC_EMPTY is not set",
            "KAFKA_TOPIC_MISSING is not set",
            "KAFKA_TOPIC_WRONG: \"not a topic\" is not a topic name",
            "a.b and a_b are one topic to brokers",
        ] {
            assert!(error.contains(problem), "{error}");
        }
        assert!(!error.contains("KAFKA_TOPIC_A "), "{error}");
    }
}
