//! Values of settings: read from text, shown without their secrets, and written as librdkafka wants them.

use std::str::FromStr;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::choices::{
    Acks, AssignmentStrategy, AutoOffsetReset, Compression, GroupProtocol, IsolationLevel,
    SaslMechanism, SecurityProtocol,
};
use super::text::{BootstrapServers, Pem};
use crate::error::chain;
use crate::retry::{
    Backoff, Tier, UnknownType, format_duration, format_tiers, parse_duration, parse_tiers,
};

/// What a secret looks like to others.
pub(super) const HIDDEN: &str = "(hidden)";
/// What a setting without a value looks like.
pub(super) const UNSET: &str = "(not set)";

/// What the table of settings needs to know of a value.
pub(super) trait Value {
    /// Takes the value from text.
    ///
    /// # Errors
    /// Why the text is none; it may repeat the text, save where that [is secret](Self::is_secret).
    fn read(&mut self, text: &str) -> Result<(), String>;

    /// The value for people's eyes, in the form that [`read`](Self::read) takes unless it is hidden.
    fn show(&self) -> String;

    /// Whether nobody may see the text.
    fn is_secret(&self) -> bool {
        false
    }

    /// The value as librdkafka wants it; `None` leaves the property alone.
    fn property(&self) -> Option<String> {
        Some(self.show())
    }

    /// Why it is outside of the range that librdkafka takes (milliseconds, for durations).
    fn outside(&self, _low: u64, _high: u64) -> Option<String> {
        None
    }
}

fn parsed<T: FromStr<Err: std::error::Error + 'static>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error| chain(&error))
}

macro_rules! values_by_text {
    ($($ty:ty),*) => { $(
        impl Value for $ty {
            fn read(&mut self, text: &str) -> Result<(), String> {
                *self = parsed(text)?;
                Ok(())
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )* };
}

values_by_text!(
    SecurityProtocol,
    Acks,
    Compression,
    AutoOffsetReset,
    IsolationLevel,
    AssignmentStrategy,
    GroupProtocol,
    Backoff,
    UnknownType
);

impl Value for SaslMechanism {
    fn read(&mut self, text: &str) -> Result<(), String> {
        *self = parsed(text).map_err(|why| match text.to_ascii_uppercase().as_str() {
            "OAUTHBEARER" => format!(
                "{why}: tokens need a source, and this version has none; use SCRAM-SHA-512, or the protocol SSL with \
                 a certificate of this client's"
            ),
            _ => why,
        })?;
        Ok(())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for String {
    fn read(&mut self, text: &str) -> Result<(), String> {
        *self = text.into();
        Ok(())
    }

    fn show(&self) -> String {
        if self.is_empty() { UNSET.into() } else { self.clone() }
    }
}

impl Value for bool {
    fn read(&mut self, text: &str) -> Result<(), String> {
        *self = match text.to_ascii_lowercase().as_str() {
            "true" | "on" | "yes" | "1" => true,
            "false" | "off" | "no" | "0" => false,
            _ => return Err(format!("{text:?} is neither `true` nor `false`")),
        };
        Ok(())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

macro_rules! numbers {
    ($($ty:ty),*) => { $(
        impl Value for $ty {
            fn read(&mut self, text: &str) -> Result<(), String> {
                // `from_str` would take a plus sign.
                *self = text
                    .bytes()
                    .all(|b| b.is_ascii_digit())
                    .then(|| text.parse().ok())
                    .flatten()
                    .ok_or_else(|| format!("{text:?} is not a whole number from 0 to {}", <$ty>::MAX))?;
                Ok(())
            }

            fn show(&self) -> String {
                self.to_string()
            }

            fn outside(&self, low: u64, high: u64) -> Option<String> {
                let value = u64::from(*self);
                (value < low || value > high).then(|| format!("it goes from {low} to {high}"))
            }
        }
    )* };
}

numbers!(u32, u64);

/// A number without a unit is milliseconds.
impl Value for Duration {
    fn read(&mut self, text: &str) -> Result<(), String> {
        *self = if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            Duration::from_millis(
                text.parse().map_err(|_| format!("{text:?} milliseconds are too long"))?,
            )
        } else {
            parse_duration(text).map_err(|error| chain(&error))?
        };
        Ok(())
    }

    fn show(&self) -> String {
        format_duration(*self)
    }

    fn property(&self) -> Option<String> {
        Some(self.as_millis().to_string())
    }

    fn outside(&self, low: u64, high: u64) -> Option<String> {
        if !self.subsec_nanos().is_multiple_of(1_000_000) {
            return Some("it is a whole number of milliseconds".into());
        }
        let (low, high) = (Duration::from_millis(low), Duration::from_millis(high));
        (*self < low || *self > high)
            .then(|| format!("it goes from {} to {}", format_duration(low), format_duration(high)))
    }
}

impl Value for BootstrapServers {
    fn read(&mut self, text: &str) -> Result<(), String> {
        *self = text.into();
        Ok(())
    }

    fn show(&self) -> String {
        if self.iter().next().is_none() { UNSET.into() } else { self.to_string() }
    }

    fn property(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Value for Vec<Tier> {
    fn read(&mut self, text: &str) -> Result<(), String> {
        *self = parse_tiers(text).map_err(|error| chain(&error))?;
        Ok(())
    }

    fn show(&self) -> String {
        format_tiers(self)
    }
}

/// What may be without a value. Its inner default only holds the place until the text is read.
trait Optional: Value {
    fn blank() -> Self;
}

impl Optional for String {
    fn blank() -> Self {
        Self::new()
    }
}

impl Optional for SaslMechanism {
    fn blank() -> Self {
        Self::Plain
    }
}

impl Optional for SecretString {
    fn blank() -> Self {
        Self::default()
    }
}

impl Optional for Pem {
    fn blank() -> Self {
        Self::File("".into())
    }
}

impl<T: Optional> Value for Option<T> {
    fn read(&mut self, text: &str) -> Result<(), String> {
        let mut value = T::blank();
        value.read(text)?;
        *self = Some(value);
        Ok(())
    }

    fn show(&self) -> String {
        self.as_ref().map_or_else(|| UNSET.into(), Value::show)
    }

    fn is_secret(&self) -> bool {
        T::blank().is_secret()
    }

    fn property(&self) -> Option<String> {
        self.as_ref().and_then(Value::property)
    }
}

impl Value for SecretString {
    fn read(&mut self, text: &str) -> Result<(), String> {
        *self = text.into();
        Ok(())
    }

    fn show(&self) -> String {
        HIDDEN.into()
    }

    fn is_secret(&self) -> bool {
        true
    }

    fn property(&self) -> Option<String> {
        Some(self.expose_secret().into())
    }
}

impl Value for Pem {
    fn read(&mut self, text: &str) -> Result<(), String> {
        *self = text.into();
        Ok(())
    }

    fn show(&self) -> String {
        self.shown()
    }

    /// It may be a key.
    fn is_secret(&self) -> bool {
        true
    }
}

#[cfg(test)]
#[path = "value_tests.rs"]
mod tests;
