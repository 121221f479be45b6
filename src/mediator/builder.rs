//! How a mediator is put together, and what is checked before it exists.

use std::any::{TypeId, type_name};
use std::marker::PhantomData;
use std::sync::Arc;

use super::behaviour::Both;
use super::dispatch::{Route, route};
use super::{Behaviour, HandlerSet, Mediator, Request, RequestHandler, RequestSet};
use crate::error::debug_as_told;
use crate::mapper::type_map::TypeMap;

/// Puts a mediator together: behaviours first, then handlers; see [`Mediator::builder`].
///
/// Behaviours run outermost first. In `.behaviour(Tracing).behaviour(Timeout(..))` the span sees a
/// request that timed out; the other way round the timeout would drop the span with the rest.
#[must_use = "there is no mediator before `build()`"]
pub struct MediatorBuilder<B = (), Stage = Behaviours> {
    behaviours: Arc<B>,
    routes: TypeMap<Route>,
    required: Vec<(TypeId, &'static str)>,
    twice: Vec<&'static str>,
    stage: PhantomData<Stage>,
}

/// The builder has no handler yet.
pub enum Behaviours {}

/// The builder has handlers, and its behaviours are settled.
pub enum Handlers {}

/// A builder that has no handler yet.
#[diagnostic::on_unimplemented(
    message = "behaviours go before the first handler",
    label = "this behaviour comes after a handler, which it would not wrap",
    note = "move `.behaviour(..)` up, before `.handler(..)`: behaviours wrap every handler of a mediator"
)]
pub trait BeforeHandlers {}

impl BeforeHandlers for Behaviours {}

debug_as_told!(BuildError);

/// A mediator that contradicts itself or leaves something out.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A request has one handler.
    #[error("more than one handler for: {}; keep one for each request", requests.join(", "))]
    HandledTwice {
        /// The requests.
        requests: Vec<&'static str>,
    },
    /// Required, and nobody handles it.
    #[error("no handler for: {}; add `.handler(..)` for each", requests.join(", "))]
    NotHandled {
        /// The requests.
        requests: Vec<&'static str>,
    },
}

impl MediatorBuilder {
    pub(super) fn new() -> Self {
        Self {
            behaviours: Arc::new(()),
            routes: TypeMap::default(),
            required: Vec::new(),
            twice: Vec::new(),
            stage: PhantomData,
        }
    }
}

impl<B: Behaviour, Stage> MediatorBuilder<B, Stage> {
    /// Adds a behaviour inside those added before: the first one sees a request first and its outcome last.
    pub fn behaviour<N: Behaviour>(self, behaviour: N) -> MediatorBuilder<Both<B, N>, Stage>
    where
        Stage: BeforeHandlers,
    {
        let outer = Arc::into_inner(self.behaviours)
            .expect("only handlers share the behaviours, and there is none yet");
        MediatorBuilder {
            behaviours: Arc::new(Both { outer, inner: behaviour }),
            routes: self.routes,
            required: self.required,
            twice: self.twice,
            stage: PhantomData,
        }
    }

    /// Adds the handler of a request. A type that handles several is told which:
    /// `.handler::<CreateUser, _>(users)`, or all at once with [`handlers`](Self::handlers).
    pub fn handler<R: Request, H: RequestHandler<R>>(
        self,
        handler: H,
    ) -> MediatorBuilder<B, Handlers> {
        let mut builder = self.with_handlers();
        let route = route::<R>(builder.behaviours.clone(), handler);
        if builder.routes.insert(TypeId::of::<R>(), route).is_some() {
            builder.twice.push(type_name::<R>());
        }
        builder
    }

    /// Adds one handler for several requests: `.handlers::<(CreateUser, GetUser), _>(users)`.
    pub fn handlers<S: HandlerSet<H>, H>(self, handler: H) -> MediatorBuilder<B, Handlers> {
        S::register(self.with_handlers(), Arc::new(handler))
    }

    /// Says which requests there are: one without a handler fails [`build`](Self::build). Sets of
    /// several calls add up.
    pub fn requires<S: RequestSet>(mut self) -> Self {
        S::each(&mut |id, name| self.required.push((id, name)));
        self
    }

    /// Checks and finishes the mediator.
    ///
    /// # Errors
    /// When a request has two handlers, or a required one has none; all such requests are named.
    pub fn build(self) -> Result<Mediator, BuildError> {
        if !self.twice.is_empty() {
            return Err(BuildError::HandledTwice { requests: self.twice });
        }
        let mut missing = Vec::new();
        for (id, name) in self.required {
            if !self.routes.contains_key(&id) && !missing.contains(&name) {
                missing.push(name);
            }
        }
        if !missing.is_empty() {
            return Err(BuildError::NotHandled { requests: missing });
        }
        Ok(Mediator(Arc::new(self.routes)))
    }

    fn with_handlers(self) -> MediatorBuilder<B, Handlers> {
        MediatorBuilder {
            behaviours: self.behaviours,
            routes: self.routes,
            required: self.required,
            twice: self.twice,
            stage: PhantomData,
        }
    }
}
