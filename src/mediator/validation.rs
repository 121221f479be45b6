//! What is wrong with a request, field by field.

use std::borrow::Cow;
use std::fmt;

/// One field that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The field's name, as the sender knows it.
    pub field: Cow<'static, str>,
    /// What is wrong with it, for people.
    pub message: Cow<'static, str>,
}

/// Everything that is wrong with a request.
///
/// ```
/// # use tidings::mediator::ValidationErrors;
/// # let (email, age) = ("nobody", 7);
/// let result = ValidationErrors::collect(|errors| {
///     errors.require(email.contains('@'), "email", "is not an address");
///     errors.require(age >= 18, "age", "must be 18 or more");
/// });
/// assert_eq!(result.unwrap_err().to_string(), "email: is not an address; age: must be 18 or more");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ValidationErrors(Vec<Violation>);

impl ValidationErrors {
    /// Runs the checks and answers `Ok` when none added anything.
    ///
    /// # Errors
    /// Whatever the checks added.
    pub fn collect(checks: impl FnOnce(&mut Self)) -> Result<(), Self> {
        let mut errors = Self::default();
        checks(&mut errors);
        if errors.0.is_empty() { Ok(()) } else { Err(errors) }
    }

    /// One field and what is wrong with it.
    pub fn of(field: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        let mut errors = Self::default();
        errors.add(field, message);
        errors
    }

    /// Adds a violation unless `holds`.
    pub fn require(
        &mut self,
        holds: bool,
        field: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) {
        if !holds {
            self.add(field, message);
        }
    }

    /// Adds a violation.
    pub fn add(
        &mut self,
        field: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) {
        self.0.push(Violation { field: field.into(), message: message.into() });
    }

    /// The violations in the order in which they were added.
    pub fn violations(&self) -> &[Violation] {
        &self.0
    }
}

impl fmt::Display for ValidationErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, Violation { field, message }) in self.0.iter().enumerate() {
            let gap = if at == 0 { "" } else { "; " };
            write!(f, "{gap}{field}: {message}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ValidationErrors {}
