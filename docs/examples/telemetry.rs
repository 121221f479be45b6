//! Traces and metrics.

// ANCHOR: layer
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::layer::SubscriberExt;

/// A subscriber whose spans become part of traces. Exporters are the service's own business.
pub fn subscriber(provider: &SdkTracerProvider) -> impl tracing::Subscriber + Send + Sync + use<> {
    let tracer = provider.tracer("user-service");
    tracing_subscriber::registry().with(tracing_opentelemetry::layer().with_tracer(tracer))
}
// ANCHOR_END: layer

// ANCHOR: metrics
use opentelemetry::metrics::Meter;
use tidings::telemetry::Metrics;
use tidings::web::Lifespan;

/// A lifespan that reports all that it starts. Readers and exporters are the service's own business.
pub fn reported(meter: Meter) -> Lifespan {
    Lifespan::new().metrics(Metrics::new(meter))
}
// ANCHOR_END: metrics

#[test]
fn a_span_has_a_trace() {
    let provider = SdkTracerProvider::builder().build();
    tracing::subscriber::with_default(subscriber(&provider), || {
        assert!(tidings::telemetry::trace_of(&tracing::info_span!("work")).is_some());
    });
}
