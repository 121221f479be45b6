//! Spans named as OpenTelemetry's messaging conventions name them, and the trace in the headers.

pub mod names;
mod propagation;

pub use propagation::{follow, trace_of};
