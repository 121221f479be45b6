//! Liveness and readiness.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;

use crate::consumer::ConsumerStatus;
use crate::outbox::RelayStatus;
use crate::producer::Producer;
use crate::publisher::Publisher;
use crate::state::StateViewStatus;

/// What is asked whether the service is ready. Cheap to clone.
///
/// Ready means: the broker answers, each consumer has its partitions, polls and commits, no
/// failed event is stuck, no outbox ages, and each view has caught up. Live means: the process answers.
#[derive(Clone, Default)]
pub struct Health(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    publishers: Vec<Publisher>,
    producers: Vec<Producer>,
    consumers: Vec<ConsumerStatus>,
    relays: Vec<RelayStatus>,
    views: Vec<StateViewStatus>,
    /// Why the service is not ready whatever the others say: it starts, or it stops.
    phase: Option<&'static str>,
    details: bool,
    said: BTreeSet<String>,
    #[cfg(feature = "otel")]
    metrics: Option<crate::telemetry::Metrics>,
}

impl Health {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add_publisher(&self, publisher: Publisher) {
        let mut state = self.state();
        #[cfg(feature = "otel")]
        state.metrics.iter().for_each(|metrics| metrics.publisher(&publisher));
        state.publishers.push(publisher);
    }

    pub(super) fn add_producer(&self, producer: Producer) {
        let mut state = self.state();
        #[cfg(feature = "otel")]
        state.metrics.iter().for_each(|metrics| metrics.producer(&producer));
        state.producers.push(producer);
    }

    pub(super) fn add_consumer(&self, status: ConsumerStatus) {
        let mut state = self.state();
        #[cfg(feature = "otel")]
        state.metrics.iter().for_each(|metrics| metrics.consumer(&status));
        state.consumers.push(status);
    }

    pub(super) fn add_view(&self, view: StateViewStatus) {
        let mut state = self.state();
        #[cfg(feature = "otel")]
        state.metrics.iter().for_each(|metrics| metrics.state_view(&view));
        state.views.push(view);
    }

    pub(super) fn add_relay(&self, status: RelayStatus) {
        let mut state = self.state();
        #[cfg(feature = "otel")]
        state.metrics.iter().for_each(|metrics| metrics.relay(&status));
        state.relays.push(status);
    }

    /// Reports those that are there, and those that will be.
    #[cfg(feature = "otel")]
    pub(super) fn report(&self, metrics: crate::telemetry::Metrics) {
        let mut state = self.state();
        state.publishers.iter().for_each(|publisher| metrics.publisher(publisher));
        state.producers.iter().for_each(|producer| metrics.producer(producer));
        state.consumers.iter().for_each(|status| metrics.consumer(status));
        state.relays.iter().for_each(|status| metrics.relay(status));
        state.views.iter().for_each(|status| metrics.state_view(status));
        state.metrics = Some(metrics);
    }

    pub(super) fn phase(&self, phase: Option<&'static str>) {
        self.state().phase = phase;
    }

    pub(super) fn show_details(&self) {
        self.state().details = true;
    }

    /// The consumers that have started, for their counters and pauses.
    pub fn consumers(&self) -> Vec<ConsumerStatus> {
        self.state().consumers.clone()
    }

    /// The relays that have started, for their counters and their outbox's backlog.
    pub fn relays(&self) -> Vec<RelayStatus> {
        self.state().relays.clone()
    }

    /// Why the service is not ready; empty when it is.
    pub fn problems(&self) -> Vec<String> {
        let state = self.state();
        let mut problems: Vec<_> = state.phase.into_iter().map(str::to_owned).collect();
        problems.extend(state.publishers.iter().filter_map(Publisher::problem));
        problems.extend(state.producers.iter().filter_map(Producer::problem));
        for consumer in &state.consumers {
            let said = consumer.problems();
            problems
                .extend(said.into_iter().map(|problem| format!("{}: {problem}", consumer.group())));
        }
        for relay in &state.relays {
            let said = relay.problems();
            problems.extend(said.into_iter().map(|problem| format!("{}: {problem}", relay.name())));
        }
        for view in &state.views {
            let said = view.problems();
            problems.extend(said.into_iter().map(|problem| format!("{}: {problem}", view.topic())));
        }
        problems
    }

    /// `GET /health/live` and `GET /health/ready` (503 while not ready).
    ///
    /// The answer says no more than that, unless the lifespan was told to show details; what is
    /// wrong goes to the log, once.
    pub fn routes<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        let health = self.clone();
        Router::new()
            .route("/health/live", get(async || Json(serde_json::json!({ "status": "live" }))))
            .route("/health/ready", get(async move || health.ready()))
    }

    fn ready(&self) -> Response {
        let problems = self.problems();
        let details = self.log(&problems);
        if problems.is_empty() {
            return Json(serde_json::json!({ "status": "ready" })).into_response();
        }
        let body = match details {
            true => serde_json::json!({ "status": "not ready", "problems": problems }),
            false => serde_json::json!({ "status": "not ready" }),
        };
        (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
    }

    /// Logs what changed; answers whether details may be shown.
    fn log(&self, problems: &[String]) -> bool {
        let mut state = self.state();
        // Problems count seconds; what is new is told by their words.
        let words = |text: &String| text.split(|c: char| c.is_ascii_digit()).collect::<String>();
        let now: BTreeSet<_> = problems.iter().map(words).collect();
        if now != state.said {
            match problems.is_empty() {
                true => tracing::info!("ready"),
                false => tracing::warn!(problems = problems.join("; "), "not ready"),
            }
            state.said = now;
        }
        state.details
    }
}
