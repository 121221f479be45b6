//! The decorator that stores what a request raised in the request's own transaction, and the port
//! that it stores through.

use std::fmt;

use super::decorator::Decorator;
use super::{
    Behaviour, Collected, Context, Mediate, Next, Request, SendError, Unpublished, collect,
};
use crate::codec::Format;
use crate::error::BoxError;
use crate::event::{Envelope, Source};
use crate::mapper::EventMapper;

/// What envelopes are stored through: an outbox in the database that the handlers write to.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event store",
    note = "give a `PostgresOutbox` or a `SqliteOutbox`, or implement `EventStore` for a type of yours"
)]
pub trait EventStore: Send + Sync + 'static {
    /// A transaction of that database, as handlers find it in their [`Context`].
    type Transaction: Send + Sync + 'static;

    /// The service that the events come from.
    fn source(&self) -> &Source;

    /// The format of their payloads.
    fn format(&self) -> Format;

    /// Opens a transaction.
    ///
    /// # Errors
    /// When the database is away.
    fn begin(&self) -> impl Future<Output = Result<Self::Transaction, BoxError>> + Send;

    /// Stores all in order; with none it only says whether the transaction can still be committed.
    ///
    /// # Errors
    /// When the database refuses: then the transaction cannot be committed any more.
    fn append(
        &self,
        transaction: &mut Self::Transaction,
        events: Vec<Envelope>,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Commits.
    ///
    /// # Errors
    /// When nothing was committed, or its answer did not come: then it is not known.
    fn commit(
        &self,
        transaction: Self::Transaction,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Takes everything back.
    ///
    /// # Errors
    /// When the database is away: then it takes it back by itself.
    fn rollback(
        &self,
        transaction: Self::Transaction,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;
}

/// A mediator whose requests' events are stored in the transaction that the handler wrote in, and
/// committed with it. Cheap to clone.
///
/// The transaction is a value in the [`Context`]: a handler leaves its own there when it is done with
/// it ([`Context::insert`]), or the behaviour [`InTransaction`] opens one before the handler. After
/// the request has succeeded, what it raised is mapped and stored in it, and it is committed. Of a
/// request that fails, or whose future is dropped, it is rolled back.
///
/// A request sent within a request, with the same context, shares its transaction and adds its
/// events to the outer one's. One that fails leaves in the transaction what it had written, so the
/// outer one must fail too, or set a savepoint of its own.
pub struct Storing<M, S>(pub(super) Decorator<M, S>);

/// Opens a transaction before the handler and leaves it in the [`Context`], for [`Storing`] to
/// commit. A request within a request gets the outer one's.
///
/// Behaviours further out see a request without one: put validation there, so that what is not valid
/// opens none.
#[derive(Debug, Clone)]
pub struct InTransaction<S>(pub S);

/// Somebody further out commits what is in the context.
pub(super) struct Commits<S>(pub(super) std::marker::PhantomData<fn() -> S>);

impl<S: EventStore> Behaviour for InTransaction<S> {
    async fn handle<R: Request>(
        &self,
        request: R,
        cx: &mut Context,
        next: impl Next<R>,
    ) -> Result<R::Response, SendError<R>> {
        if cx.get::<Commits<S>>().is_none() {
            return Err(SendError::Behaviour(
                "nobody commits this transaction; send the request through `.storing(mapper, outbox)`"
                    .into(),
            ));
        }
        if cx.get::<S::Transaction>().is_none() {
            let transaction = self.0.begin().await.map_err(SendError::Behaviour)?;
            cx.insert(transaction);
        }
        next.run(request, cx).await
    }
}

/// Holds the context while the outermost request runs. Dropped, however that ends, it leaves neither
/// a transaction nor a mark in a context that the caller may use again.
struct Open<'a, S: EventStore>(&'a mut Context, std::marker::PhantomData<fn() -> S>);

impl<S: EventStore> Drop for Open<'_, S> {
    fn drop(&mut self) {
        self.0.remove::<Commits<S>>();
        self.0.remove::<S::Transaction>();
    }
}

impl<M, S> Storing<M, S> {
    pub(super) fn new(mediator: M, mapper: EventMapper, store: S) -> Self {
        Self(Decorator::new(mediator, mapper, store))
    }
}

impl<M: Mediate, S: EventStore> Storing<M, S> {
    /// Sends a request; `Ok` once it has succeeded and is committed with its events.
    ///
    /// # Errors
    /// See [`SendError`]; nothing of the request is stored, save where it says otherwise.
    pub async fn send<R: Request>(&self, request: R) -> Result<R::Response, SendError<R>> {
        self.send_in(request, &mut Context::new()).await
    }

    /// Sends a request with the caller's context. What the caller raised in it before is stored too,
    /// first; a transaction that the caller left there is used, and committed.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub async fn send_in<R: Request>(
        &self,
        request: R,
        cx: &mut Context,
    ) -> Result<R::Response, SendError<R>> {
        let (mediator, store) = (self.0.mediator(), self.0.to());
        if cx.get::<Commits<S>>().is_some() {
            return Ok(collect(mediator, request, cx).await?.response);
        }
        cx.insert(Commits::<S>(std::marker::PhantomData));
        let open = Open::<S>(cx, std::marker::PhantomData);
        let collected = collect(mediator, request, open.0).await;
        let transaction = open.0.remove::<S::Transaction>();
        drop(open);
        let Collected { response, raised, flow } = match collected {
            Ok(collected) => collected,
            Err(error) => {
                self.roll_back(transaction).await;
                return Err(error);
            }
        };
        let envelopes = match self.0.envelopes(&raised, &flow, S::source, S::format) {
            Ok(envelopes) => envelopes,
            Err(error) => {
                self.roll_back(transaction).await;
                return Err(SendError::NotCommitted(error.into()));
            }
        };
        let Some(mut transaction) = transaction else {
            if envelopes.is_empty() {
                return Ok(response);
            }
            let error = "the request raised events and left no transaction in its context; add \
                         `.behaviour(InTransaction(outbox))` to its mediator, or hand one over with \
                         `cx.insert(transaction)`"
                .into();
            let unpublished = Unpublished { response, events: envelopes, error };
            return Err(SendError::Unpublished(Box::new(unpublished)));
        };
        // Also where there are none: a handler may have hidden that a statement failed.
        if let Err(error) = store.append(&mut transaction, envelopes).await {
            self.roll_back(Some(transaction)).await;
            return Err(SendError::NotCommitted(error));
        }
        match store.commit(transaction).await {
            Ok(()) => Ok(response),
            Err(error) => Err(SendError::NotCommitted(error)),
        }
    }

    /// The mediator underneath: what is sent to it is neither stored nor committed.
    pub fn inner(&self) -> &M {
        self.0.mediator()
    }

    /// What fails here the database does by itself, once it finds out that nobody is there.
    async fn roll_back(&self, transaction: Option<S::Transaction>) {
        let Some(transaction) = transaction else { return };
        if let Err(error) = self.0.to().rollback(transaction).await {
            tracing::debug!(%error, "a transaction was not rolled back");
        }
    }
}

impl<M: Mediate, S: EventStore> Mediate for Storing<M, S> {
    fn send_in<R: Request>(
        &self,
        request: R,
        cx: &mut Context,
    ) -> impl Future<Output = Result<R::Response, SendError<R>>> + Send {
        self.send_in(request, cx)
    }
}

impl<M, S> Clone for Storing<M, S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<M: fmt::Debug, S> fmt::Debug for Storing<M, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.debug("Storing", f)
    }
}
