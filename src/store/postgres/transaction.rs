//! The outbox as the mediator's event store, and the transaction as a handler finds it.

use sqlx::{PgTransaction, Postgres, Transaction};

use super::PostgresOutbox;
use crate::codec::Format;
use crate::error::BoxError;
use crate::event::{Envelope, Source};
use crate::mediator::{Context, EventStore};

impl EventStore for PostgresOutbox {
    type Transaction = PgTransaction<'static>;

    fn source(&self) -> &Source {
        self.source()
    }

    fn format(&self) -> Format {
        self.format()
    }

    async fn begin(&self) -> Result<Self::Transaction, BoxError> {
        Ok(self.store().pool().begin().await?)
    }

    async fn append(
        &self,
        transaction: &mut Self::Transaction,
        events: Vec<Envelope>,
    ) -> Result<(), BoxError> {
        Ok(self.append(transaction, events).await?)
    }

    async fn commit(&self, transaction: Self::Transaction) -> Result<(), BoxError> {
        Ok(transaction.commit().await?)
    }

    async fn rollback(&self, transaction: Self::Transaction) -> Result<(), BoxError> {
        Ok(transaction.rollback().await?)
    }
}

/// The transaction that the request is handled in.
///
/// # Errors
/// When there is none: the mediator has no behaviour
/// [`InTransaction`](crate::mediator::InTransaction), or the handler has left none yet.
pub fn transaction(cx: &mut Context) -> Result<&mut PgTransaction<'static>, NoTransaction> {
    cx.get_mut::<Transaction<'static, Postgres>>().ok_or(NoTransaction)
}

/// A request is handled in no transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request has no transaction; add `.behaviour(InTransaction(outbox))` to its mediator")]
pub struct NoTransaction;
