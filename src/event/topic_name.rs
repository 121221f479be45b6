//! Topic names, checked when they are made; a literal is checked by the compiler.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The longest name that Kafka takes, in bytes.
const MAX_LEN: usize = 249;

/// A legal topic name: 1 to 249 of `a–z A–Z 0–9 . _ -`, and neither `.` nor `..`. Cheap to clone.
#[derive(Clone)]
pub struct TopicName(Repr);

#[derive(Clone)]
enum Repr {
    Static(&'static str),
    Shared(Arc<str>),
}

impl TopicName {
    /// Takes a name known when the program is built. In a `const` a bad name does not compile.
    ///
    /// # Panics
    /// When the name is not legal.
    pub const fn from_static(name: &'static str) -> Self {
        match check(name) {
            Ok(()) => Self(Repr::Static(name)),
            Err(Problem::Empty) => panic!("a topic name must not be empty"),
            Err(Problem::TooLong) => panic!("a topic name has at most 249 characters"),
            Err(Problem::Dots) => panic!("`.` and `..` are no topic names"),
            Err(Problem::Character) => {
                panic!("a topic name is made of letters, digits, `.`, `_` and `-`")
            }
        }
    }

    /// Checks a name that is known only at run time.
    ///
    /// # Errors
    /// When the name is not legal; the error holds the name and says why.
    pub fn new(name: impl Into<Arc<str>>) -> Result<Self, InvalidTopicName> {
        let name = name.into();
        match check(&name) {
            Ok(()) => Ok(Self(Repr::Shared(name))),
            Err(problem) => Err(InvalidTopicName { name: cut(&name), problem }),
        }
    }

    /// Finds two names that brokers take for one, since metrics do: they differ in `.` and `_` only.
    pub fn collision<'a>(
        names: impl IntoIterator<Item = &'a Self>,
    ) -> Option<(&'a Self, &'a Self)> {
        let mut seen = HashMap::new();
        names.into_iter().find_map(|name| {
            let other = *seen.entry(name.as_str().replace('.', "_")).or_insert(name);
            (other != name).then_some((other, name))
        })
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Repr::Static(name) => name,
            Repr::Shared(name) => name,
        }
    }
}

/// Why a text is no topic name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not a topic name: {problem}")]
pub struct InvalidTopicName {
    name: String,
    problem: Problem,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Problem {
    #[error("it is empty")]
    Empty,
    #[error("it has more than 249 characters")]
    TooLong,
    #[error("`.` and `..` are reserved")]
    Dots,
    #[error("only letters, digits, `.`, `_` and `-` are legal")]
    Character,
}

const fn check(name: &str) -> Result<(), Problem> {
    let bytes = name.as_bytes();
    match bytes {
        [] => return Err(Problem::Empty),
        b"." | b".." => return Err(Problem::Dots),
        _ if bytes.len() > MAX_LEN => return Err(Problem::TooLong),
        _ => {}
    }
    let mut at = 0;
    while at < bytes.len() {
        if !(bytes[at].is_ascii_alphanumeric() || matches!(bytes[at], b'.' | b'_' | b'-')) {
            return Err(Problem::Character);
        }
        at += 1;
    }
    Ok(())
}

fn cut(name: &str) -> String {
    name.chars().take(MAX_LEN + 1).collect()
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl PartialEq for TopicName {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for TopicName {}

impl PartialOrd for TopicName {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for TopicName {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl Hash for TopicName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl Borrow<str> for TopicName {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl std::str::FromStr for TopicName {
    type Err = InvalidTopicName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::new(name)
    }
}

impl TryFrom<String> for TopicName {
    type Error = InvalidTopicName;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::new(name)
    }
}

impl TryFrom<&str> for TopicName {
    type Error = InvalidTopicName;

    fn try_from(name: &str) -> Result<Self, Self::Error> {
        Self::new(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_legal_characters_is_taken_as_it_is() {
        let name = TopicName::new("orders.placed_v-1").unwrap();
        assert_eq!(name.as_str(), "orders.placed_v-1");
        assert_eq!(name, TopicName::from_static("orders.placed_v-1"));
    }

    #[test]
    fn names_that_differ_in_dots_and_underlines_only_collide() {
        let names = ["a.b", "c", "a_b", "a.b"].map(TopicName::from_static);
        let (one, other) = TopicName::collision(&names).unwrap();
        assert_eq!((one.as_str(), other.as_str()), ("a.b", "a_b"));
        assert_eq!(TopicName::collision(&["a.b", "a-b", "a.b"].map(TopicName::from_static)), None);
    }

    #[test]
    fn a_bad_name_is_refused_with_its_reason() {
        for (name, reason) in [
            ("", "it is empty"),
            ("..", "`.` and `..` are reserved"),
            ("bestellungen über", "only letters, digits"),
            ("a\0b", "only letters, digits"),
        ] {
            let error = TopicName::new(name).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
        let long = "x".repeat(250);
        assert!(TopicName::new(long).unwrap_err().to_string().contains("249"));
    }
}
