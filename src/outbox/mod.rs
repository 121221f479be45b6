//! The outbox: events stored with business data, and the relay that publishes them.
//!
//! An [`Outbox`] stores events in the transaction that the business data is written in. A [`Relay`]
//! publishes what was stored, in order per key, and forgets it once the broker has acknowledged it.
//! Relays of one outbox share its shards by leases. They come and go without a leader: whoever comes
//! says so, those that hold more than their share give some up, and a lease that is not renewed is over.

mod append;
mod builder;
mod health;
mod lanes;
mod running;
mod work;

pub use append::{AppendError, Outbox, OutboxBuilder};
pub use builder::{Relay, RelayBuilder, RelayError};
pub use health::{RelayCounts, RelayStatus};
pub use running::{RelayReport, RunningRelay};
