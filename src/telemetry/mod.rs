//! Spans and metrics named as OpenTelemetry's messaging conventions name them, and the trace in the
//! headers.
//!
//! The spans are `publish`, `receive` and `handle`. None of them holds a payload or a header's value.

#[cfg(feature = "otel")]
mod metrics;
pub mod names;
mod propagation;

#[cfg(feature = "otel")]
pub use metrics::Metrics;
pub use propagation::{follow, trace_of};
