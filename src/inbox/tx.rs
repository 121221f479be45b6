//! The transaction that a handler runs in, and where it is while the handler does not have it.

use std::any::Any;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::mediator::Joinable;
use crate::store::{Transactions, Turn};

/// The transaction that the handler runs in: `sqlx::query(…).execute(&mut *tx)`.
///
/// It is committed after the handler has succeeded, with the note that this handler has handled this
/// event and with the events that it answers; after an error, a panic or a time-out it is taken back.
/// The consumer needs an [`inbox`](crate::consumer::ConsumerBuilder::inbox) of the same store.
///
/// A request joins it with [`send_within`](crate::mediator::Storing::send_within).
///
/// It must not outlive the handler: what it has written is taken back where a task keeps it. What the
/// handler does elsewhere is no part of it: a mail is sent, a `Publisher` publishes, whether it is
/// committed or not.
pub struct Tx<S: Transactions> {
    /// `None` only while it is dropped, or a request has it.
    transaction: Option<S::Transaction>,
    held: Arc<Held>,
}

impl<S: Transactions> Tx<S> {
    /// `None` where it is another store's, or somebody has it.
    pub(crate) fn of(held: &Arc<Held>) -> Option<Self> {
        let transaction = held.slot::<S>()?.transaction.take()?;
        Some(Self { transaction: Some(transaction), held: held.clone() })
    }
}

impl<S: Transactions> Deref for Tx<S> {
    type Target = S::Connection;

    fn deref(&self) -> &S::Connection {
        self.transaction.as_deref().expect("nobody has taken it away")
    }
}

impl<S: Transactions> DerefMut for Tx<S> {
    fn deref_mut(&mut self) -> &mut S::Connection {
        self.transaction.as_deref_mut().expect("nobody has taken it away")
    }
}

impl<S: Transactions> Joinable<S::Transaction> for Tx<S> {
    fn lend(&mut self) -> Option<S::Transaction> {
        self.transaction.take()
    }

    fn take_back(&mut self, transaction: S::Transaction, succeeded: bool) {
        self.transaction = Some(transaction);
        if !succeeded {
            self.held.spoilt.store(true, Ordering::Relaxed);
        }
    }
}

impl<S: Transactions> Drop for Tx<S> {
    fn drop(&mut self) {
        if let (Some(mut slot), Some(transaction)) =
            (self.held.slot::<S>(), self.transaction.take())
            && !slot.over
        {
            slot.transaction = Some(transaction);
        }
    }
}

impl<S: Transactions> std::fmt::Debug for Tx<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tx").finish_non_exhaustive()
    }
}

/// A handler's transaction: it lends it to the handler, and ends it. Dropped, it is taken back.
pub(crate) struct Held {
    slot: Box<dyn Any + Send + Sync>,
    /// There is something in it that must not be committed.
    spoilt: AtomicBool,
    _turn: Turn,
}

struct Slot<T> {
    transaction: Option<T>,
    /// The handler has ended: who gives it back now comes too late.
    over: bool,
}

impl Held {
    pub(super) fn new<S: Transactions>(transaction: S::Transaction, turn: Turn) -> Self {
        let slot = Mutex::new(Slot { transaction: Some(transaction), over: false });
        Self { slot: Box::new(slot), spoilt: AtomicBool::new(false), _turn: turn }
    }

    pub(super) fn is_spoilt(&self) -> bool {
        self.spoilt.load(Ordering::Relaxed)
    }

    /// Takes it once the handler has ended; `None` where something of the handler's still has it.
    pub(super) fn end<S: Transactions>(&self) -> Option<S::Transaction> {
        let mut slot = self.slot::<S>()?;
        slot.over = true;
        slot.transaction.take()
    }

    fn slot<S: Transactions>(&self) -> Option<MutexGuard<'_, Slot<S::Transaction>>> {
        let slot = self.slot.downcast_ref::<Mutex<Slot<S::Transaction>>>()?;
        Some(slot.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
