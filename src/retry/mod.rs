//! Retry policies as data: how often, how long between, and where an event goes when none is left.

mod backoff;
mod duration;
mod policy;
mod tier;
mod unknown;

pub use backoff::{Backoff, InvalidBackoff, Jitter};
pub use duration::{InvalidDuration, format_duration, parse_duration};
pub use policy::{InvalidRetryPolicy, MAX_TIERS, RetryPolicy};
pub use tier::{InvalidTier, Tier, format_tiers, parse_tiers};
pub use unknown::{InvalidUnknownType, UnknownType};
