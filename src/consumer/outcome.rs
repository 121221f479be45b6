//! What a handler answers: done, again later, or never mind; and what its errors say.

use std::fmt;

use super::classify::Classifiers;
use super::owed::{Owed, Unpublished};
use crate::codec::DecodeError;
use crate::error::BoxError;
use crate::mapper::{Events, IntoEvents};

/// What becomes of an event that a handler did not fail on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Done.
    Ack,
    /// Again later, as after a transient failure.
    Retry {
        /// Why.
        reason: String,
    },
    /// Never again for this handler, and nothing to look at later.
    Drop {
        /// Why.
        reason: String,
    },
}

/// An outcome, and the integration events that follow from it.
///
/// The events are published before the event counts as handled. What cannot be published now is kept and
/// published later, without another call of the handler.
pub struct Handled {
    /// What becomes of the event.
    pub outcome: Outcome,
    /// What is published because of it, in order.
    pub events: Events,
}

impl Handled {
    /// What is settled by it: to try again is a failure, and nothing follows from what is dropped.
    pub(super) fn settled(self) -> Result<Self, HandlerError> {
        match self.outcome {
            Outcome::Retry { reason } => Err(HandlerError::transient(reason)),
            Outcome::Drop { .. } => Ok(Self { events: Events::none(), ..self }),
            Outcome::Ack => Ok(self),
        }
    }
}

/// What a handler may answer: `()`, an [`Outcome`], or integration events to publish.
#[diagnostic::on_unimplemented(
    message = "a handler cannot answer `{Self}`",
    note = "answer `()`, an `Outcome`, an integration event, an `Option` or `Vec` of them, or `Events` of several types"
)]
pub trait IntoOutcome {
    /// The outcome and what follows.
    fn into_outcome(self) -> Handled;
}

impl IntoOutcome for Outcome {
    fn into_outcome(self) -> Handled {
        Handled { outcome: self, events: Events::none() }
    }
}

impl IntoOutcome for Handled {
    fn into_outcome(self) -> Handled {
        self
    }
}

impl<T: IntoEvents> IntoOutcome for T {
    fn into_outcome(self) -> Handled {
        Handled { outcome: Outcome::Ack, events: Events::one(self) }
    }
}

/// What a failure says about trying again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureKind {
    /// May pass: immediate retries, then the tiers, then the dead-letter topic. What an error is
    /// that nobody says anything of.
    Transient,
    /// Fails each time: the dead-letter topic at once.
    Permanent,
    /// The world is down (a database, a gateway): the event is kept and probed until it is back;
    /// no attempt is counted, nothing is dead-lettered.
    Outage,
    /// The payload is not what it should be: quarantine at once, byte for byte.
    Undecodable,
}

impl FailureKind {
    /// As written to `x-error-kind`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Permanent => "permanent",
            Self::Outage => "outage",
            Self::Undecodable => "undecodable",
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A handler's failure. Any error becomes one with `?`. It is what the handler says of it, with
/// `HandlerError::permanent(error)` or [`Failing`]; else what
/// [`classify`](super::ConsumerBuilder::classify) says of its type; else transient.
#[derive(Debug)]
pub struct HandlerError {
    /// `None` where nothing was said.
    kind: Option<FailureKind>,
    cause: BoxError,
}

impl HandlerError {
    /// May pass.
    pub fn transient(cause: impl Into<BoxError>) -> Self {
        Self { kind: Some(FailureKind::Transient), cause: cause.into() }
    }

    /// Fails each time.
    pub fn permanent(cause: impl Into<BoxError>) -> Self {
        Self { kind: Some(FailureKind::Permanent), cause: cause.into() }
    }

    /// The world is down.
    pub fn outage(cause: impl Into<BoxError>) -> Self {
        Self { kind: Some(FailureKind::Outage), cause: cause.into() }
    }

    pub(super) fn undecodable(cause: DecodeError) -> Self {
        Self { kind: Some(FailureKind::Undecodable), cause: cause.into() }
    }

    pub(super) fn unknown_format() -> Self {
        let cause = "the payload's content type is not known here".into();
        Self { kind: Some(FailureKind::Undecodable), cause }
    }

    /// An error of this kind.
    pub(crate) fn said(kind: FailureKind, cause: impl Into<BoxError>) -> Self {
        Self { kind: Some(kind), cause: cause.into() }
    }

    /// An error of which nothing was said.
    pub(super) fn unsaid(cause: impl Into<BoxError>) -> Self {
        Self { kind: None, cause: cause.into() }
    }

    /// The handler has succeeded, and what follows is not published yet.
    pub(crate) fn owing(why: String, owed: Box<dyn Owed>) -> Self {
        Self::outage(Unpublished { why, owed })
    }

    /// What is not published yet, where nothing else is wrong.
    pub(super) fn unpublished(self) -> Result<Box<Unpublished>, Self> {
        let Self { kind, cause } = self;
        cause.downcast().map_err(|cause| Self { kind, cause })
    }

    /// The same error, of the kind that its type is said to be where the handler has said nothing.
    pub(super) fn classified(self, classifiers: &Classifiers) -> Self {
        Self { kind: self.kind.or_else(|| classifiers.kind(&*self.cause)), cause: self.cause }
    }

    /// What it says about trying again.
    pub fn kind(&self) -> FailureKind {
        self.kind.unwrap_or(FailureKind::Transient)
    }

    /// The error and its causes on one line.
    pub fn message(&self) -> String {
        crate::error::chain(&*self.cause)
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self::unsaid(error)
    }
}

/// Says of a result's error what kind of failure it is: `charge(card).await.permanent()?`.
pub trait Failing<T> {
    /// The error may pass.
    ///
    /// # Errors
    /// The error, as a transient one.
    fn transient(self) -> Result<T, HandlerError>;
    /// The error comes each time.
    ///
    /// # Errors
    /// The error, as a permanent one.
    fn permanent(self) -> Result<T, HandlerError>;
    /// The error says that the world is down.
    ///
    /// # Errors
    /// The error, as an outage.
    fn outage(self) -> Result<T, HandlerError>;
}

impl<T, E: Into<BoxError>> Failing<T> for Result<T, E> {
    fn transient(self) -> Result<T, HandlerError> {
        self.map_err(HandlerError::transient)
    }

    fn permanent(self) -> Result<T, HandlerError> {
        self.map_err(HandlerError::permanent)
    }

    fn outage(self) -> Result<T, HandlerError> {
        self.map_err(HandlerError::outage)
    }
}
