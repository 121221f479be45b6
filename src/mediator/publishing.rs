//! The decorator that publishes what a request raised, and the port that it publishes through.

use std::fmt;
use std::sync::Arc;

use super::decorator::Decorator;
use super::{
    Collected, Context, MappingFailure, Mediate, Request, SendError, Unpublished, collect,
};
use crate::codec::Format;
use crate::error::BoxError;
use crate::event::{Envelope, Source};
use crate::mapper::EventMapper;

/// What envelopes are published through: a publisher, or a test's list.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event publisher",
    note = "give a `Publisher`, or implement `EventPublisher` for a type of yours"
)]
pub trait EventPublisher: Send + Sync {
    /// The service that the events come from.
    fn source(&self) -> &Source;

    /// The format of their payloads.
    fn format(&self) -> Format;

    /// Publishes all in order; `Ok` once all are acknowledged.
    ///
    /// # Errors
    /// What was not acknowledged, in order.
    fn publish_envelopes(
        &self,
        events: Vec<Envelope>,
    ) -> impl Future<Output = Result<(), PublishFailure>> + Send;
}

/// Envelopes that were not acknowledged.
#[derive(Debug)]
pub struct PublishFailure {
    /// They, in order.
    pub unpublished: Vec<Envelope>,
    /// Why not.
    pub error: BoxError,
}

impl<P: EventPublisher + ?Sized> EventPublisher for &P {
    fn source(&self) -> &Source {
        (**self).source()
    }

    fn format(&self) -> Format {
        (**self).format()
    }

    fn publish_envelopes(
        &self,
        events: Vec<Envelope>,
    ) -> impl Future<Output = Result<(), PublishFailure>> + Send {
        (**self).publish_envelopes(events)
    }
}

impl<P: EventPublisher + ?Sized> EventPublisher for Arc<P> {
    fn source(&self) -> &Source {
        (**self).source()
    }

    fn format(&self) -> Format {
        (**self).format()
    }

    fn publish_envelopes(
        &self,
        events: Vec<Envelope>,
    ) -> impl Future<Output = Result<(), PublishFailure>> + Send {
        (**self).publish_envelopes(events)
    }
}

/// A mediator whose requests' events are published, directly, after they succeeded. Cheap to clone.
///
/// In order: what was raised in the [`Context`], then what comes with the response; all in one call
/// of the publisher. Of a request that fails, or whose future is dropped before it has succeeded,
/// nothing is published. A request sent within a request, with the same context, adds its events to
/// the outer one's. Between the handler's success and the broker's acknowledgement the process can
/// die, and the events with it: an outbox closes that gap.
pub struct Publishing<M, P>(Decorator<M, P>);

impl<M, P> Publishing<M, P> {
    pub(super) fn new(mediator: M, mapper: EventMapper, publisher: P) -> Self {
        Self(Decorator::new(mediator, mapper, publisher))
    }
}

impl<M: Mediate, P: EventPublisher> Publishing<M, P> {
    /// Sends a request; `Ok` once it has succeeded and its events were acknowledged.
    ///
    /// # Errors
    /// See [`SendError`]; where the request succeeded and its events were not published, the error
    /// holds the response and the events.
    pub async fn send<R: Request>(&self, request: R) -> Result<R::Response, SendError<R>> {
        self.send_in(request, &mut Context::new()).await
    }

    /// Sends a request with the caller's context. What the caller raised in it before is published
    /// too, first; afterwards it is empty.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub async fn send_in<R: Request>(
        &self,
        request: R,
        cx: &mut Context,
    ) -> Result<R::Response, SendError<R>> {
        let Collected { response, raised, flow } = collect(self.0.mediator(), request, cx).await?;
        if raised.is_empty() {
            return Ok(response);
        }
        let envelopes = match self.0.envelopes(&raised, &flow, P::source, P::format) {
            Ok(envelopes) if envelopes.is_empty() => return Ok(response),
            Ok(envelopes) => envelopes,
            Err(error) => {
                let failure = MappingFailure { response, raised, error };
                return Err(SendError::Mapping(Box::new(failure)));
            }
        };
        match self.0.to().publish_envelopes(envelopes).await {
            Ok(()) => Ok(response),
            Err(PublishFailure { unpublished: events, error }) => {
                Err(SendError::Unpublished(Box::new(Unpublished { response, events, error })))
            }
        }
    }

    /// The mediator underneath: what is sent to it is not published.
    pub fn inner(&self) -> &M {
        self.0.mediator()
    }
}

impl<M: Mediate, P: EventPublisher> Mediate for Publishing<M, P> {
    fn send_in<R: Request>(
        &self,
        request: R,
        cx: &mut Context,
    ) -> impl Future<Output = Result<R::Response, SendError<R>>> + Send {
        self.send_in(request, cx)
    }
}

impl<M, P> Clone for Publishing<M, P> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<M: fmt::Debug, P> fmt::Debug for Publishing<M, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.debug("Publishing", f)
    }
}
