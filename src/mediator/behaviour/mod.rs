//! Behaviours: decorators around every request.

mod stack;
mod timeout;
mod tracing;
mod validation;

pub(super) use stack::{Both, Last};
pub use timeout::Timeout;
pub use tracing::Tracing;
pub use validation::Validation;

use super::{Context, Request, SendError};

/// A decorator around every request of a mediator.
///
/// It may look at the request, answer without a handler, change what comes back, or leave values in
/// the [`Context`]. It is put together with each handler when the mediator is built: a request pays
/// no allocation and no look-up for it.
///
/// ```
/// use tidings::mediator::{Behaviour, Context, Next, Request, SendError};
///
/// struct Counting(std::sync::atomic::AtomicU64);
///
/// impl Behaviour for Counting {
///     async fn handle<R: Request>(
///         &self,
///         request: R,
///         cx: &mut Context,
///         next: impl Next<R>,
///     ) -> Result<R::Response, SendError<R>> {
///         self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
///         next.run(request, cx).await
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a behaviour",
    note = "write `impl Behaviour for {Self}` with `async fn handle<R: Request>(&self, request: R, cx: &mut Context, next: impl Next<R>)`"
)]
pub trait Behaviour: Send + Sync + 'static {
    /// Handles the request, usually by running `next`. An error of its own is
    /// [`SendError::Behaviour`].
    fn handle<R: Request>(
        &self,
        request: R,
        cx: &mut Context,
        next: impl Next<R>,
    ) -> impl Future<Output = Result<R::Response, SendError<R>>> + Send;
}

/// The rest of the way: the behaviours further in, and the handler. It is run once at most.
pub trait Next<R: Request>: Send {
    /// Goes on with the request.
    fn run(
        self,
        request: R,
        cx: &mut Context,
    ) -> impl Future<Output = Result<R::Response, SendError<R>>> + Send;
}
