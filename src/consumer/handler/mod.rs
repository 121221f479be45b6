//! Handlers: async functions with extractors, or types that implement a trait.

mod extract;
mod function;
mod input;
mod layer;
mod typed;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

pub use extract::{Attempt, Event, FromDelivery, RawRecord, State, Value};
pub use function::{Function, HandlerFn};
pub use input::{Input, InputTopics, LiesOn, Own, OwnTopics, Reads};
pub(super) use layer::layered;
pub use layer::{HandlerFailure, HandlerService};
pub use typed::{IntegrationEventHandler, Typed};

use super::delivery::{Delivery, Needs};
use super::outcome::{Handled, HandlerError};
use crate::transport::TopicNeed;

/// Anything that handles what a consumer reads: an async function whose first argument is an [`Input`]
/// ([`Event<E>`](Event), [`Value<V>`](Value), [`RawRecord`]) and whose others are extractors, or an
/// [`IntegrationEventHandler`].
///
/// `Args` tells the two apart and is always inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event handler",
    note = "an event handler is an `async fn` whose first argument is `Event<E>` (or, with `handle_on`, `Value<V>` or `RawRecord`), whose other arguments are extractors (`Metadata`, `Headers`, `State<S>`, `Tx<S>`, `Publisher`, `RawRecord`, `Attempt`, `Delivery`), and that answers `Result<_, HandlerError>` or any error",
    note = "or a type that implements `IntegrationEventHandler<E>`"
)]
pub trait Handler<Args>: Send + Sync + 'static {
    /// What it reads.
    type Input: Input;

    /// Its name, which retried records carry: it must stay the same over releases. `None` for a
    /// closure, which has none.
    fn name(&self) -> Option<&'static str>;

    /// What the builder must have for it.
    fn needs(needs: &mut Needs);

    /// Handles one event.
    fn call(
        &self,
        delivery: Delivery,
    ) -> impl Future<Output = Result<Handled, HandlerError>> + Send;
}

/// The future of one call.
pub(super) type Calling<'a> =
    Pin<Box<dyn Future<Output = Result<Handled, HandlerError>> + Send + 'a>>;

/// A handler whose type is forgotten.
pub(super) trait Call: Send + Sync {
    fn call(&self, delivery: Delivery) -> Calling<'_>;
}

struct Erased<H, Args>(H, std::marker::PhantomData<fn() -> Args>);

impl<Args: 'static, H: Handler<Args>> Call for Erased<H, Args> {
    fn call(&self, delivery: Delivery) -> Calling<'_> {
        Box::pin(self.0.call(delivery))
    }
}

/// A handler as the registry keeps it.
pub(super) struct Registered {
    /// Which one of its consumer's it is.
    pub(super) number: u32,
    pub(super) name: Arc<str>,
    pub(super) reads: Reads,
    pub(super) topics: Vec<TopicNeed>,
    pub(super) needs: Needs,
    /// It runs in a transaction.
    pub(super) transactional: bool,
    pub(super) call: Arc<dyn Call>,
}

impl Registered {
    pub(super) fn new<Args: 'static, H: Handler<Args>>(
        number: u32,
        name: &str,
        topics: Vec<TopicNeed>,
        handler: H,
    ) -> Self {
        let mut needs = Needs::default();
        H::needs(&mut needs);
        Self {
            number,
            name: name.into(),
            reads: H::Input::reads(),
            topics,
            transactional: !needs.transactions().is_empty(),
            needs,
            call: Arc::new(Erased(handler, std::marker::PhantomData)),
        }
    }
}
