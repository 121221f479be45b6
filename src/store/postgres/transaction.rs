//! Transactions that events are stored in, and how a handler finds the one of its request.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgTransaction};

use super::{Inner, PostgresStore};
use crate::mediator::Context;
use crate::store::{NewEvent, NoTransaction, OutboxTables, StoreError, Transactions};

impl OutboxTables for PostgresStore {
    async fn append(
        &self,
        connection: &mut PgConnection,
        events: Vec<NewEvent>,
        publish_at: Option<DateTime<Utc>>,
    ) -> Result<(), StoreError> {
        let Inner { append, channel, .. } = &*self.0;
        let stored = append.append(connection, channel, events, publish_at).await;
        stored.map_err(StoreError::database("store the events"))
    }
}

impl Transactions for PostgresStore {
    type Connection = PgConnection;
    type Transaction = PgTransaction<'static>;

    async fn open(&self) -> Result<Self::Transaction, StoreError> {
        self.pool().begin().await.map_err(StoreError::database("open a transaction"))
    }

    async fn commit(&self, transaction: Self::Transaction) -> Result<(), StoreError> {
        transaction.commit().await.map_err(StoreError::database("commit"))
    }

    async fn roll_back(&self, transaction: Self::Transaction) -> Result<(), StoreError> {
        transaction.rollback().await.map_err(StoreError::database("roll back"))
    }
}

/// The transaction that the request is handled in.
///
/// # Errors
/// When there is none: the mediator has no behaviour
/// [`InTransaction`](crate::mediator::InTransaction), or the handler has left none yet.
pub fn transaction(cx: &mut Context) -> Result<&mut PgTransaction<'static>, NoTransaction> {
    cx.get_mut().ok_or(NoTransaction)
}
