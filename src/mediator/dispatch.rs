//! The mediator itself: one look-up without a lock, one boxed future.

use std::any::{Any, TypeId};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use super::behaviour::Last;
use super::builder::{Behaviours, MediatorBuilder};
use super::context::Attempt;
use super::{
    Behaviour, Context, EventPublisher, EventStore, Mediate, Publishing, Request, RequestHandler,
    SendError, Storing,
};
use crate::event::simple_type_name;
use crate::mapper::EventMapper;
use crate::mapper::type_map::TypeMap;

/// Takes each request to its one handler, through behaviours. Cheap to clone.
#[derive(Clone)]
pub struct Mediator(pub(super) Arc<TypeMap<Route>>);

/// A `Box<dyn Dispatch<R>>` under the id of `R`.
pub(super) type Route = Box<dyn Any + Send + Sync>;

type Sending<'a, R> =
    Pin<Box<dyn Future<Output = Result<<R as Request>::Response, SendError<R>>> + Send + 'a>>;

/// Behaviours and a handler, put together for one request.
trait Dispatch<R: Request>: Send + Sync {
    fn dispatch<'a>(&'a self, request: R, cx: &'a mut Context) -> Sending<'a, R>;
}

struct Wired<B, H> {
    behaviours: Arc<B>,
    handler: H,
}

impl<R: Request, B: Behaviour, H: RequestHandler<R>> Dispatch<R> for Wired<B, H> {
    fn dispatch<'a>(&'a self, request: R, cx: &'a mut Context) -> Sending<'a, R> {
        Box::pin(self.behaviours.handle(request, cx, Last(&self.handler)))
    }
}

pub(super) fn route<R: Request>(
    behaviours: Arc<impl Behaviour>,
    handler: impl RequestHandler<R>,
) -> Route {
    let wired: Box<dyn Dispatch<R>> = Box::new(Wired { behaviours, handler });
    Box::new(wired)
}

impl Mediator {
    /// A mediator without behaviours and handlers, to be given some.
    pub fn builder() -> MediatorBuilder<(), Behaviours> {
        MediatorBuilder::new()
    }

    /// Sends a request to its handler. What it raises is dropped unless a decorator publishes it.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send<R: Request>(&self, request: R) -> Result<R::Response, SendError<R>> {
        let Some(route) = self.route::<R>() else {
            return Err(no_handler());
        };
        route.dispatch(request, &mut Context::new()).await
    }

    /// Sends a request with the caller's context: for a request within a request.
    ///
    /// # Errors
    /// See [`SendError`]. What the failed request raised is gone from the context.
    pub async fn send_in<R: Request>(
        &self,
        request: R,
        cx: &mut Context,
    ) -> Result<R::Response, SendError<R>> {
        let Some(route) = self.route::<R>() else {
            return Err(no_handler());
        };
        let mut attempt = Attempt::new(cx);
        let result = route.dispatch(request, attempt.cx).await;
        attempt.succeeded = result.is_ok();
        result
    }

    /// Decorates this mediator: what a request raises is mapped and published after it succeeded.
    pub fn publishing<P: EventPublisher>(
        self,
        mapper: EventMapper,
        publisher: P,
    ) -> Publishing<Self, P> {
        Publishing::new(self, mapper, publisher)
    }

    /// Decorates this mediator: what a request raises is mapped and stored in the transaction that
    /// the request was handled in, which is then committed.
    pub fn storing<S: EventStore>(self, mapper: EventMapper, store: S) -> Storing<Self, S> {
        Storing::new(self, mapper, store)
    }

    fn route<R: Request>(&self) -> Option<&dyn Dispatch<R>> {
        let route = self.0.get(&TypeId::of::<R>())?;
        route.downcast_ref::<Box<dyn Dispatch<R>>>().map(|route| &**route)
    }
}

#[cold]
fn no_handler<R: Request>() -> SendError<R> {
    SendError::NoHandler { request: simple_type_name::<R>() }
}

impl Mediate for Mediator {
    fn send_in<R: Request>(
        &self,
        request: R,
        cx: &mut Context,
    ) -> impl Future<Output = Result<R::Response, SendError<R>>> + Send {
        self.send_in(request, cx)
    }
}

impl fmt::Debug for Mediator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mediator").field("requests", &self.0.len()).finish()
    }
}
