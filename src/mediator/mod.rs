//! The mediator: takes a request to its one handler, through behaviours, and publishes what it raised.
//!
//! A [`Mediator`] by itself publishes nothing. Decorated with [`publishing`](Mediator::publishing) it
//! maps what a request raised and publishes it, after the request has succeeded. Decorated with
//! [`storing`](Mediator::storing) it stores it in the request's own transaction instead.

mod behaviour;
mod builder;
mod collect;
mod context;
mod dispatch;
mod error;
mod joining;
mod publishing;
mod request;
mod storing;
mod validation;

pub use behaviour::{Behaviour, Next, Timeout, Tracing, Validation};
pub use builder::{BeforeHandlers, Behaviours, BuildError, Handlers, MediatorBuilder};
pub use collect::{Collected, collect};
pub use context::Context;
pub use dispatch::Mediator;
pub use error::{MappingFailure, SendError, Unpublished};
pub use joining::Joinable;
pub use publishing::{EventPublisher, PublishFailure, Publishing};
pub use request::{Command, HandlerSet, Query, Request, RequestHandler, RequestSet};
pub use storing::{EventStore, InTransaction, Storing};
pub use validation::{ValidationErrors, Violation};

use crate::mapper::EventMapper;

/// What takes requests to their handlers: a [`Mediator`], a decorator of one, or a type of the user's.
pub trait Mediate: Send + Sync {
    /// Sends a request with the caller's context. What is raised stays in it for the caller.
    fn send_in<R: Request>(
        &self,
        request: R,
        cx: &mut Context,
    ) -> impl Future<Output = Result<R::Response, SendError<R>>> + Send;

    /// Sends a request with a context of its own.
    fn send<R: Request>(
        &self,
        request: R,
    ) -> impl Future<Output = Result<R::Response, SendError<R>>> + Send {
        async move { self.send_in(request, &mut Context::new()).await }
    }

    /// Decorates this mediator: what a request raises is mapped and published after it succeeded.
    fn publishing<P: EventPublisher>(self, mapper: EventMapper, publisher: P) -> Publishing<Self, P>
    where
        Self: Sized,
    {
        Publishing::new(self, mapper, publisher)
    }

    /// Decorates this mediator: what a request raises is mapped and stored in the transaction that
    /// the request was handled in, which is then committed.
    fn storing<S: EventStore>(self, mapper: EventMapper, store: S) -> Storing<Self, S>
    where
        Self: Sized,
    {
        Storing::new(self, mapper, store)
    }
}
