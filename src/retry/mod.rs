//! Retry policies as data: how often, how long between, and where an event goes when none is left.
//!
//! Every part of a [`RetryPolicy`] can be said in text too, as configuration does: `5s,1m,10m` for
//! tiers, `exponential:100ms:cap=1s:jitter` for a backoff.

mod backoff;
mod chance;
mod duration;
mod policy;
mod tier;
mod unknown;

pub use backoff::{Backoff, InvalidBackoff, Jitter};
pub use chance::Chance;
pub use duration::{InvalidDuration, format_duration, parse_duration};
pub use policy::{InvalidRetryPolicy, MAX_TIERS, RetryPolicy};
pub use tier::{InvalidTier, Tier, format_tiers, parse_tiers};
pub use unknown::{InvalidUnknownType, UnknownType};
