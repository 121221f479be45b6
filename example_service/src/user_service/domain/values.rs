//! Values that cannot be wrong once they exist.

use std::fmt;

use serde::Serialize;

/// Why a text is not the value it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {reason}")]
pub struct InvalidValue {
    pub field: &'static str,
    pub reason: &'static str,
}

/// A mail address, in lower case: no two users have the same.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Email(String);

impl Email {
    /// Checks the form, `someone@somewhere`. Whether anybody reads mail there, only a mail can tell.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(text: &str) -> Result<Self, InvalidValue> {
        let invalid = |reason| Err(InvalidValue { field: "email", reason });
        let text = text.trim().to_lowercase();
        if text.len() > 254 {
            return invalid("has at most 254 characters");
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control() || "<>()[],;:\\\"".contains(c))
        {
            return invalid("holds a character that no address has");
        }
        match text.split_once('@') {
            Some((local, domain))
                if !local.is_empty()
                    && !domain.contains('@')
                    && domain.split('.').all(|label| !label.is_empty()) =>
            {
                Ok(Self(text))
            }
            _ => invalid("has the form someone@example.org"),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A person's name as they write it: 1 to 200 characters, on one line.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct FullName(String);

impl FullName {
    /// Checks the length; people's names have no other rules.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(text: &str) -> Result<Self, InvalidValue> {
        let invalid = |reason| Err(InvalidValue { field: "full_name", reason });
        let text = text.trim();
        match text.chars().count() {
            0 => invalid("must not be empty"),
            1..=200 if text.chars().any(char::is_control) => invalid("stands on one line"),
            1..=200 => Ok(Self(text.to_owned())),
            _ => invalid("has at most 200 characters"),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// People's data stays out of logs.
impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email(..)")
    }
}

/// People's data stays out of logs.
impl fmt::Debug for FullName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FullName(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_kept_in_lower_case() {
        assert_eq!(Email::new(" Ada@Example.ORG ").unwrap().as_str(), "ada@example.org");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for bad in
            ["", "ada", "@example.org", "ada@", "a@b@c", "a b@c", "a@b..c", "a@b\r\nBcc: c@d"]
        {
            assert!(Email::new(bad).is_err(), "{bad:?}");
        }
        assert!(Email::new(&format!("{}@example.org", "x".repeat(254))).is_err());
    }

    #[test]
    fn a_name_is_on_one_line_and_not_empty() {
        assert_eq!(FullName::new("  Жанна d'Arc ").unwrap().as_str(), "Жанна d'Arc");
        for bad in ["", " ", "a\nb", &"x".repeat(201)] {
            assert!(FullName::new(bad).is_err(), "{bad:?}");
        }
    }
}
