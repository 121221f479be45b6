//! Requests that join a transaction which somebody else commits: a consumer's handler, say.

use std::marker::PhantomData;

use super::storing::Commits;
use super::{Collected, Context, EventStore, Mediate, Request, SendError, Storing, collect};

/// A transaction that requests can join, as a consumer's [`Tx`](crate::consumer::Tx) is one.
#[diagnostic::on_unimplemented(
    message = "no request of this mediator can join `{Self}`",
    note = "give the handler's `Tx<S>`, of the store that the mediator's outbox is on"
)]
pub trait Joinable<T>: Send {
    /// Lends the transaction; `None` where it is gone.
    fn lend(&mut self) -> Option<T>;

    /// Takes it back. Unless the request succeeded, what it has written must not be committed.
    fn take_back(&mut self, transaction: T, succeeded: bool);
}

impl<M: Mediate, S: EventStore> Storing<M, S> {
    /// Sends a request in a transaction of the caller's: what it writes and what it raises is
    /// committed with whatever else is in there, by the caller. A handler of events does so with its
    /// `Tx`: the event, its effect and that of the request are committed together.
    ///
    /// # Errors
    /// See [`SendError`]. What the request had written is still in the transaction, which is therefore
    /// not committed, even where the caller goes on as if nothing had happened.
    pub async fn send_within<R: Request>(
        &self,
        request: R,
        transaction: &mut impl Joinable<S::Transaction>,
    ) -> Result<R::Response, SendError<R>> {
        let Some(lent) = transaction.lend() else {
            return Err(SendError::Behaviour("the transaction that it is to join is gone".into()));
        };
        let mut cx = Context::new();
        cx.insert(Commits::<S>(PhantomData));
        cx.insert(lent);
        let mut joined = Joined { cx, owner: transaction, succeeded: false, of: PhantomData };
        let collected = collect(&self.0.mediator, request, &mut joined.cx).await?;
        let Collected { response, raised, flow } = collected;
        let not_stored = SendError::NotCommitted;
        let envelopes = self.envelopes(&raised, &flow).map_err(|error| not_stored(error.into()))?;
        if !envelopes.is_empty() {
            let Some(transaction) = joined.cx.get_mut::<S::Transaction>() else {
                return Err(not_stored("the request has taken the transaction away".into()));
            };
            self.0.store.append(transaction, envelopes).await.map_err(not_stored)?;
        }
        joined.succeeded = true;
        Ok(response)
    }
}

/// Holds a transaction while a request is in it. Dropped, however that ends, it gives it back.
struct Joined<'a, T: Send + Sync + 'static, J: Joinable<T>> {
    cx: Context,
    owner: &'a mut J,
    succeeded: bool,
    of: PhantomData<fn() -> T>,
}

impl<T: Send + Sync + 'static, J: Joinable<T>> Drop for Joined<'_, T, J> {
    fn drop(&mut self) {
        if let Some(transaction) = self.cx.remove::<T>() {
            self.owner.take_back(transaction, self.succeeded);
        }
    }
}
