//! Ports to a database that keeps events beside business data, and the adapters behind them.
//!
//! The ports know rows, shards and leases, and no database library.

mod error;
mod inbox;
mod outbox;
mod shard;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod stored;
mod tables;
mod transactions;

#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "sqlite")]
pub mod sqlite;

pub use error::{NoTransaction, StoreError};
pub use inbox::{Claim, InboxTables, Standing, Turn};
pub use outbox::{
    Backlog, Fetched, Hint, Holding, LeaseOwner, NewEvent, OrderKey, OutboxRow, OutboxSession,
    OutboxStore, OutboxTables, ParkedEvent, RowId,
};
pub use shard::{SHARDS, Shard};
pub use tables::{InvalidTables, Migration, Tables};
pub use transactions::Transactions;
