//! Transactions that events are stored in, and how a handler finds the one of its request.

use chrono::{DateTime, Utc};
use sqlx::{SqliteConnection, SqliteTransaction};

use super::{SqliteStore, WRITE};
use crate::mediator::Context;
use crate::store::{NewEvent, NoTransaction, OutboxTables, StoreError, Transactions};

impl OutboxTables for SqliteStore {
    async fn append(
        &self,
        connection: &mut SqliteConnection,
        events: Vec<NewEvent>,
        publish_at: Option<DateTime<Utc>>,
    ) -> Result<(), StoreError> {
        // A statement can end a transaction (`INSERT OR ROLLBACK`, a full disk). What follows would then
        // be committed each for itself, whatever becomes of the rest.
        if has_ended(connection).await {
            let source = "a statement that failed has ended the transaction".into();
            return Err(StoreError::Refused { what: "store the events", source });
        }
        if events.is_empty() {
            return Ok(());
        }
        let stored = self.0.append.append(connection, events, publish_at).await;
        // They are not committed yet: a relay looks again and again for a while.
        self.tell_rows();
        stored.map_err(StoreError::database("store the events"))
    }
}

/// Whether a transaction that was begun is there no more: whoever was given it, or a statement that failed, has
/// ended it.
pub(super) async fn has_ended(connection: &mut SqliteConnection) -> bool {
    let ended = sqlx::raw_sql("BEGIN").execute(&mut *connection).await.is_ok();
    if ended {
        let _ = sqlx::raw_sql("ROLLBACK").execute(&mut *connection).await;
    }
    ended
}

impl Transactions for SqliteStore {
    type Connection = SqliteConnection;
    type Transaction = SqliteTransaction<'static>;

    async fn open(&self) -> Result<Self::Transaction, StoreError> {
        let opened = self.pool().begin_with(WRITE).await;
        opened.map_err(StoreError::database("open a transaction"))
    }

    async fn commit(&self, transaction: Self::Transaction) -> Result<(), StoreError> {
        let committed = transaction.commit().await;
        self.tell_rows();
        committed.map_err(StoreError::database("commit"))
    }

    async fn roll_back(&self, mut transaction: Self::Transaction) -> Result<(), StoreError> {
        // A statement can end a transaction (`INSERT OR ROLLBACK`). The client does not notice, fails
        // to end it once more, and takes the connection for one that is in a transaction for good: so
        // there is one to end. Where there is one already this does nothing.
        let _ = sqlx::raw_sql("BEGIN").execute(&mut *transaction).await;
        transaction.rollback().await.map_err(StoreError::database("roll back"))
    }
}

/// The transaction that the request is handled in.
///
/// # Errors
/// When there is none: the mediator has no behaviour
/// [`InTransaction`](crate::mediator::InTransaction), or the handler has left none yet.
pub fn transaction(cx: &mut Context) -> Result<&mut SqliteTransaction<'static>, NoTransaction> {
    cx.get_mut().ok_or(NoTransaction)
}
