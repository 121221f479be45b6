//! Mapping errors: at `build()` and at an event.

use crate::codec::EnvelopeError;
use crate::error::debug_as_told;

debug_as_told!(BuildError);

/// A mapper that contradicts itself or leaves something out.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// One domain event has one mapping.
    #[error("mapped more than once: {}; keep one mapping, it may answer several events", events.join(", "))]
    MappedTwice {
        /// The types.
        events: Vec<&'static str>,
    },
    /// One of the two is wrong.
    #[error("both mapped and ignored: {}; remove one of the two", events.join(", "))]
    MappedAndIgnored {
        /// The types.
        events: Vec<&'static str>,
    },
    /// Covered, and nothing was said about it.
    #[error("neither mapped nor ignored: {}; add `.map::<_, _>()`, `.map_with(..)` or `.ignore::<_>()` for each", events.join(", "))]
    NotMapped {
        /// The types.
        events: Vec<&'static str>,
    },
}

/// A domain or integration event that cannot be published as it is. No retry helps.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MapError {
    /// The mapper was never told about it.
    #[error(
        "the event mapper has no mapping for the domain event {event}; map it, ignore it, or build the mapper with `Unmapped::Ignore`"
    )]
    NoMapping {
        /// The domain event's name.
        event: &'static str,
    },
    /// What it maps to has no usable key, or cannot be encoded.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
}
