//! Spans named as OpenTelemetry's messaging conventions name them, and the trace in the headers.
//!
//! The spans are `publish`, `receive` and `handle`. None of them holds a payload or a header's value.

pub mod names;
mod propagation;

pub use propagation::{follow, trace_of};
