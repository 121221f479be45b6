//! The port of a database that a service's own tables are in: its transactions.

use std::ops::DerefMut;

use super::StoreError;

/// The database that a service writes to. What Tidings stores beside it is committed with it.
pub trait Transactions: Clone + Send + Sync + 'static {
    /// A connection that may be in a transaction.
    type Connection: Send;
    /// A transaction of its own. Dropped, it is taken back.
    type Transaction: DerefMut<Target = Self::Connection> + Send + Sync + 'static;

    /// Opens a transaction.
    ///
    /// # Errors
    /// When the database is away.
    fn open(&self) -> impl Future<Output = Result<Self::Transaction, StoreError>> + Send;

    /// Commits one.
    ///
    /// # Errors
    /// When nothing was committed, or the answer did not come.
    fn commit(
        &self,
        transaction: Self::Transaction,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Takes one back.
    ///
    /// # Errors
    /// When the database is away.
    fn roll_back(
        &self,
        transaction: Self::Transaction,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}
