//! Behaviours put together by type, so that the compiler sees through all of them.

use super::{Behaviour, Next};
use crate::mediator::{Context, Request, RequestHandler, SendError};

/// No behaviour.
#[diagnostic::do_not_recommend]
impl Behaviour for () {
    fn handle<R: Request>(
        &self,
        request: R,
        cx: &mut Context,
        next: impl Next<R>,
    ) -> impl Future<Output = Result<R::Response, SendError<R>>> + Send {
        next.run(request, cx)
    }
}

/// One behaviour around another.
pub struct Both<O, I> {
    pub(in crate::mediator) outer: O,
    pub(in crate::mediator) inner: I,
}

#[diagnostic::do_not_recommend]
impl<O: Behaviour, I: Behaviour> Behaviour for Both<O, I> {
    fn handle<R: Request>(
        &self,
        request: R,
        cx: &mut Context,
        next: impl Next<R>,
    ) -> impl Future<Output = Result<R::Response, SendError<R>>> + Send {
        self.outer.handle(request, cx, Inner { behaviour: &self.inner, next })
    }
}

/// A behaviour as what comes next of the one around it.
struct Inner<'a, B, N> {
    behaviour: &'a B,
    next: N,
}

impl<R: Request, B: Behaviour, N: Next<R>> Next<R> for Inner<'_, B, N> {
    fn run(
        self,
        request: R,
        cx: &mut Context,
    ) -> impl Future<Output = Result<R::Response, SendError<R>>> + Send {
        self.behaviour.handle(request, cx, self.next)
    }
}

/// The handler, innermost. What comes with its response is taken here, so that a behaviour around it
/// (a transaction) finds all that was raised in the context once `next` is done.
pub(in crate::mediator) struct Last<'a, H>(pub(in crate::mediator) &'a H);

impl<R: Request, H: RequestHandler<R>> Next<R> for Last<'_, H> {
    async fn run(self, request: R, cx: &mut Context) -> Result<R::Response, SendError<R>> {
        match self.0.handle(request, cx).await {
            Ok(mut response) => {
                cx.take_from::<R>(&mut response);
                Ok(response)
            }
            Err(error) => Err(SendError::Handler(error)),
        }
    }
}
