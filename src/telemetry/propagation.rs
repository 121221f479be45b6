//! Between a `tracing` span and the W3C context in an event's headers.
//!
//! With feature `otel` the span's own context is written, so that one trace runs through; without
//! it the context of the handled event is passed on as it came.

use tracing::Span;

use crate::event::TraceContext;

/// The context that an event published inside `span` carries, where the span is part of a trace.
#[cfg(feature = "otel")]
pub fn trace_of(span: &Span) -> Option<TraceContext> {
    use opentelemetry::trace::TraceContextExt;
    use tracing_opentelemetry::OpenTelemetrySpanExt;

    if span.is_disabled() {
        return None;
    }
    let context = span.context();
    let span = context.span();
    let span = span.span_context();
    if !span.is_valid() {
        return None;
    }
    let parent =
        format!("00-{}-{}-{:02x}", span.trace_id(), span.span_id(), span.trace_flags().to_u8());
    TraceContext::parse(&parent, Some(&span.trace_state().header())).ok()
}

/// The context that an event published inside `span` carries: none without feature `otel`.
#[cfg(not(feature = "otel"))]
pub fn trace_of(_: &Span) -> Option<TraceContext> {
    None
}

/// Makes `span` a child of the trace that came with an event.
#[cfg(feature = "otel")]
pub fn follow(span: &Span, trace: &TraceContext) {
    use opentelemetry::Context;
    use opentelemetry::trace::{
        SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState,
    };
    use std::str::FromStr;
    use tracing_opentelemetry::OpenTelemetrySpanExt;

    if span.is_disabled() {
        return;
    }
    let parent = trace.traceparent();
    let (Ok(trace_id), Ok(span_id), Ok(flags)) = (
        TraceId::from_hex(&parent[3..35]),
        SpanId::from_hex(&parent[36..52]),
        u8::from_str_radix(&parent[53..55], 16),
    ) else {
        return;
    };
    let state = TraceState::from_str(trace.tracestate().unwrap_or_default()).unwrap_or_default();
    let context = SpanContext::new(trace_id, span_id, TraceFlags::new(flags), true, state);
    // It fails only where no OpenTelemetry layer is installed: then there is no trace to follow.
    let _ = span.set_parent(Context::new().with_remote_span_context(context));
}

/// Makes `span` a child of the trace that came with an event: nothing without feature `otel`.
#[cfg(not(feature = "otel"))]
pub fn follow(_: &Span, _: &TraceContext) {}
