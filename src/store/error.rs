//! What can go wrong between us and a database.

use crate::error::BoxError;

/// A database did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It is away, or refused; what it said is the cause.
    #[error("the database did not {what}")]
    Database {
        /// What it was asked to do.
        what: &'static str,
        /// What it said.
        source: BoxError,
    },
    /// The tables are missing or of another version.
    #[error(
        "the tables are of version {found}, this release needs {needed}; call `migrate()`, or run \
         the statements that `migrations()` lists"
    )]
    Version {
        /// The version that is there, 0 for none.
        found: i32,
        /// The version that is needed.
        needed: i32,
    },
}

/// A request is handled in no transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request has no transaction; add `.behaviour(InTransaction(outbox))` to its mediator")]
pub struct NoTransaction;

impl StoreError {
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(crate) fn database<E: Into<BoxError>>(what: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Database { what, source: source.into() }
    }
}
