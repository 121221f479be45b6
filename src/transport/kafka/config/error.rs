//! What is wrong with a configuration: all of it at once.

use std::fmt;

/// One thing that is wrong. It names the settings, their values and where these came from; secrets are hidden.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    settings: Vec<&'static str>,
    text: String,
}

impl Problem {
    pub(super) fn new(settings: &[&'static str], text: impl Into<String>) -> Self {
        Self { settings: settings.into(), text: text.into() }
    }

    /// The names of the settings that it is about (`producer.acks`); none where no setting has that name.
    pub fn settings(&self) -> &[&'static str] {
        &self.settings
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A configuration that cannot be used, with everything that is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvalidKafkaConfig {
    problems: Vec<Problem>,
}

impl InvalidKafkaConfig {
    /// `Ok` where there are no problems.
    pub(super) fn unless_none(problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() { Ok(()) } else { Err(Self { problems }) }
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// Everything that is wrong; at least one.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for InvalidKafkaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [problem] = self.problems.as_slice() {
            return write!(f, "the Kafka configuration cannot be used: {problem}");
        }
        write!(f, "the Kafka configuration cannot be used, for {} reasons:", self.problems.len())?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n- {problem}"))
    }
}

impl std::error::Error for InvalidKafkaConfig {}
