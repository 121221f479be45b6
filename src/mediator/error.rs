//! How a request can fail.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use super::{EventPublisher, Request, ValidationErrors};
use crate::error::{BoxError, chain};
use crate::event::Envelope;
use crate::mapper::{MapError, Raised};

/// A request that did not go all the way.
///
/// [`response`](Self::response) says whether it was handled all the same: then only its events are
/// missing.
#[non_exhaustive]
pub enum SendError<R: Request> {
    /// The handler answered an error of its own.
    Handler(R::Error),
    /// Nobody handles it.
    NoHandler {
        /// The request's name.
        request: &'static str,
    },
    /// It did not pass its own checks; the handler never saw it.
    Invalid(ValidationErrors),
    /// It took too long and was dropped.
    TimedOut {
        /// The bound.
        after: Duration,
    },
    /// A behaviour, or a mediator of the user's own, failed or refused it.
    Behaviour(BoxError),
    /// It succeeded, and what it raised cannot be made into envelopes. Nothing was published.
    Mapping(Box<MappingFailure<R::Response>>),
    /// It succeeded, and its events were not published, or not all of them.
    Unpublished(Box<Unpublished<R::Response>>),
    /// It was handled in a transaction that was not committed: neither it nor its events are stored.
    /// Where the answer to the commit itself was lost, that is not known.
    NotCommitted(BoxError),
}

/// A response, and raised events that cannot be published as they are.
pub struct MappingFailure<T> {
    /// What the handler answered.
    pub response: T,
    /// Everything that was raised, in order; nothing of it was published.
    pub raised: Vec<Raised>,
    /// Why not.
    pub error: MapError,
}

/// A response, and the events that are still to be published.
pub struct Unpublished<T> {
    /// What the handler answered.
    pub response: T,
    /// The envelopes that were not acknowledged, in order, with the ids that they keep.
    pub events: Vec<Envelope>,
    /// Why not.
    pub error: BoxError,
}

impl<T> Unpublished<T> {
    /// Publishes what is left, and answers the response once all of it is acknowledged.
    ///
    /// # Errors
    /// The same again, with what is left this time.
    pub async fn retry(mut self, publisher: &impl EventPublisher) -> Result<T, Self> {
        match publisher.publish_envelopes(std::mem::take(&mut self.events)).await {
            Ok(()) => Ok(self.response),
            Err(failure) => Err(Self { events: failure.unpublished, error: failure.error, ..self }),
        }
    }
}

impl<R: Request> SendError<R> {
    /// In a word, for logs and metrics: `handler`, `no_handler`, `invalid`, `timed_out`, `behaviour`,
    /// `mapping`, `unpublished` or `not_committed`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Handler(_) => "handler",
            Self::NoHandler { .. } => "no_handler",
            Self::Invalid(_) => "invalid",
            Self::TimedOut { .. } => "timed_out",
            Self::Behaviour(_) => "behaviour",
            Self::Mapping(_) => "mapping",
            Self::Unpublished(_) => "unpublished",
            Self::NotCommitted(_) => "not_committed",
        }
    }

    /// What the handler answered, where it succeeded and only publishing did not.
    pub fn response(&self) -> Option<&R::Response> {
        match self {
            Self::Mapping(failure) => Some(&failure.response),
            Self::Unpublished(failure) => Some(&failure.response),
            _ => None,
        }
    }

    /// The handler's own error, or this one where it is another.
    ///
    /// # Errors
    /// This error, when it is not the handler's.
    pub fn into_handler_error(self) -> Result<R::Error, Self> {
        match self {
            Self::Handler(error) => Ok(error),
            other => Err(other),
        }
    }

    /// The handler's own error, when it is one.
    pub fn handler_error(&self) -> Option<&R::Error> {
        match self {
            Self::Handler(error) => Some(error),
            _ => None,
        }
    }

    /// Whether nobody handles the request.
    pub fn is_no_handler(&self) -> bool {
        matches!(self, Self::NoHandler { .. })
    }

    /// Whether the request did not pass its own checks.
    pub fn is_invalid(&self) -> bool {
        matches!(self, Self::Invalid(_))
    }

    /// Whether it took too long.
    pub fn is_timed_out(&self) -> bool {
        matches!(self, Self::TimedOut { .. })
    }

    /// Whether it succeeded and its events were not all published, for whichever reason.
    pub fn is_unpublished(&self) -> bool {
        self.response().is_some()
    }
}

impl<R: Request> SendError<R> {
    /// What it says and why; of the handler, its error.
    fn told(&self) -> Result<(String, Option<&(dyn Error + 'static)>), &R::Error> {
        Ok(match self {
            Self::Handler(error) => return Err(error),
            Self::NoHandler { request } => (
                format!(
                    "the mediator has no handler for {request}; add `.handler(..)` to its builder"
                ),
                None,
            ),
            Self::Invalid(errors) => ("the request is not valid".into(), Some(errors)),
            Self::TimedOut { after } => {
                (format!("the request took longer than {after:?} and was dropped"), None)
            }
            Self::Behaviour(error) => {
                ("a behaviour failed or refused the request".into(), Some(&**error))
            }
            Self::NotCommitted(error) => {
                ("the request's transaction was not committed".into(), Some(&**error))
            }
            Self::Mapping(failure) => {
                let names = names(failure.raised.iter().map(Raised::name));
                (
                    format!(
                        "the request succeeded, and none of its events can be published: {names}"
                    ),
                    Some(&failure.error),
                )
            }
            Self::Unpublished(failure) => {
                let events = &failure.events;
                let (count, names) =
                    (events.len(), names(events.iter().map(|event| &*event.metadata.event_type)));
                (
                    format!(
                        "the request succeeded, and events of it were not published ({count}): {names}"
                    ),
                    Some(&*failure.error),
                )
            }
        })
    }
}

/// In their order, each once where it comes several times in a row.
fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<_> = names.collect();
    names.dedup();
    names.join(", ")
}

impl<R: Request<Error: fmt::Display>> fmt::Display for SendError<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.told() {
            Ok((text, _)) => f.write_str(&text),
            Err(error) => error.fmt(f),
        }
    }
}

impl<R: Request<Error: fmt::Debug>> fmt::Debug for SendError<R> {
    /// What it says and why: so a `main` that returns it gives its advice.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.told() {
            Ok((text, None)) => f.write_str(&text),
            Ok((text, Some(cause))) => write!(f, "{text}: {}", chain(cause)),
            Err(error) => f.debug_tuple("Handler").field(error).finish(),
        }
    }
}

impl<R: Request<Error: Error + 'static>> Error for SendError<R> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self.told() {
            Ok((_, cause)) => cause,
            // It shows as the handler's error, so that its cause is the next one down.
            Err(error) => error.source(),
        }
    }
}

impl<T> fmt::Debug for MappingFailure<T> {
    /// Without the response, which need not be printable.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MappingFailure")
            .field("raised", &self.raised)
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Unpublished<T> {
    /// Without the response, which need not be printable.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unpublished")
            .field("events", &self.events)
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}
