//! Requests and their handlers.

use std::any::{TypeId, type_name};
use std::sync::Arc;

use super::builder::{Handlers, MediatorBuilder};
use super::{Behaviour, Context, ValidationErrors};
use crate::event::DomainEvent;
use crate::mapper::Events;

/// What is asked of the service: a [`Command`] or a [`Query`].
///
/// Usually derived: `#[derive(Command)] #[request(response = User, error = UserError)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a request",
    note = "derive it: `#[derive(Command)]` or `#[derive(Query)]` with `#[request(response = .., error = ..)]`"
)]
pub trait Request: Send + Sized + 'static {
    /// What its handler answers.
    type Response: Send + 'static;
    /// How its handler fails.
    type Error: Send + 'static;

    /// Checks what can be checked without the world; the behaviour [`Validation`](super::Validation) asks.
    ///
    /// # Errors
    /// Every field that is not as it should be.
    fn validate(&self) -> Result<(), ValidationErrors> {
        Ok(())
    }

    /// Domain events that come with the response, such as an aggregate's own list. A publishing
    /// decorator takes them once, after those raised in the [`Context`].
    fn domain_events(response: &mut Self::Response) -> Vec<Box<dyn DomainEvent>> {
        let _ = response;
        Vec::new()
    }

    /// Integration events that come with the response, published after the domain events.
    fn integration_events(response: &mut Self::Response) -> Events {
        let _ = response;
        Events::none()
    }
}

/// A request that changes something.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a command",
    note = "derive it: `#[derive(Command)] #[request(response = .., error = ..)]`"
)]
pub trait Command: Request {}

/// A request that changes nothing.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a query",
    note = "derive it: `#[derive(Query)] #[request(response = .., error = ..)]`"
)]
pub trait Query: Request {}

/// The one handler of a request. A type may handle several requests.
///
/// ```
/// # use std::convert::Infallible;
/// # use tidings::mediator::{Context, Request, RequestHandler};
/// # struct Greet(&'static str);
/// # impl Request for Greet { type Response = String; type Error = Infallible; }
/// struct Greeter { greeting: String }
///
/// impl RequestHandler<Greet> for Greeter {
///     async fn handle(&self, request: Greet, _: &mut Context) -> Result<String, Infallible> {
///         Ok(format!("{} {}", self.greeting, request.0))
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not handle `{R}`",
    note = "write `impl RequestHandler<{R}> for {Self}` with `async fn handle(&self, request: {R}, cx: &mut Context)`"
)]
pub trait RequestHandler<R: Request>: Send + Sync + 'static {
    /// Answers the request. Events are said with [`Context::raise`] and [`Context::publish`].
    fn handle(
        &self,
        request: R,
        cx: &mut Context,
    ) -> impl Future<Output = Result<R::Response, R::Error>> + Send;
}

#[diagnostic::do_not_recommend]
impl<R: Request, H: RequestHandler<R>> RequestHandler<R> for Arc<H> {
    fn handle(
        &self,
        request: R,
        cx: &mut Context,
    ) -> impl Future<Output = Result<R::Response, R::Error>> + Send {
        H::handle(self, request, cx)
    }
}

/// Which requests there are: a tuple of one to sixteen types.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a set of requests",
    note = "give a tuple of up to sixteen requests, `(A, B, C)`, one alone as `(A,)`"
)]
pub trait RequestSet {
    /// Calls `f` with each type and its full name.
    fn each(f: &mut dyn FnMut(TypeId, &'static str));
}

/// A set of requests that `H` handles all of.
#[diagnostic::on_unimplemented(
    message = "`{H}` does not handle all of `{Self}`",
    note = "write `impl RequestHandler<R> for {H}` for each request `R` of the tuple"
)]
pub trait HandlerSet<H>: RequestSet {
    /// Registers `handler` for each of them.
    fn register<B: Behaviour>(
        builder: MediatorBuilder<B, Handlers>,
        handler: Arc<H>,
    ) -> MediatorBuilder<B, Handlers>;
}

macro_rules! tuples {
    ($first:ident $($rest:ident)*) => {
        #[diagnostic::do_not_recommend]
        impl<$first: Request, $($rest: Request),*> RequestSet for ($first, $($rest,)*) {
            fn each(f: &mut dyn FnMut(TypeId, &'static str)) {
                f(TypeId::of::<$first>(), type_name::<$first>());
                $(f(TypeId::of::<$rest>(), type_name::<$rest>());)*
            }
        }

        #[diagnostic::do_not_recommend]
        impl<Type, $first: Request, $($rest: Request),*> HandlerSet<Type> for ($first, $($rest,)*)
        where
            Type: RequestHandler<$first> $(+ RequestHandler<$rest>)*,
        {
            fn register<Stack: Behaviour>(
                builder: MediatorBuilder<Stack, Handlers>,
                handler: Arc<Type>,
            ) -> MediatorBuilder<Stack, Handlers> {
                let builder = builder.handler::<$first, _>(handler.clone());
                $(let builder = builder.handler::<$rest, _>(handler.clone());)*
                builder
            }
        }
        tuples!($($rest)*);
    };
    () => {};
}

tuples!(A B C D E F G H I J K L M N O P);
