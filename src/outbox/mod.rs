//! The relay: publishes what was stored in an outbox, in order per key, and forgets it once the
//! broker has acknowledged it.
//!
//! Relays of one outbox share its shards by leases. They come and go without a leader: whoever comes
//! says so, those that hold more than their share give some up, and a lease that is not renewed is over.

mod builder;
mod health;
mod lanes;
mod running;
mod work;

pub use builder::{Relay, RelayBuilder, RelayError};
pub use health::{RelayCounts, RelayStatus};
pub use running::{RelayReport, RunningRelay};
