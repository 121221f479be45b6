//! Ports to a database that keeps events beside business data, and the adapters behind them.
//!
//! The ports know rows, shards and leases, and no database library.

mod error;
mod outbox;
mod shard;
mod tables;

#[cfg(feature = "postgres")]
pub mod postgres;

pub use error::StoreError;
pub use outbox::{
    Backlog, Fetched, Hint, Holding, LeaseOwner, OrderKey, OutboxRow, OutboxSession, OutboxStore,
    ParkedEvent, RowId,
};
pub(crate) use shard::hash as lane_hash;
pub use shard::{SHARDS, Shard};
pub use tables::{InvalidTables, Migration, Tables};
