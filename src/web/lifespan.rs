//! Starts publishers and consumers with the HTTP server, and stops all of them in order.

use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::Health;
use crate::consumer::{Consumer, RunningConsumer, StartError, StopReport};
use crate::event::EventId;
use crate::outbox::{Relay, RelayReport, RunningRelay};
use crate::producer::Producer;
use crate::publisher::Publisher;
use crate::state::StateView;

/// A service's life: consumers start with the server; on SIGINT or SIGTERM the server stops taking
/// requests, then the consumers drain and leave, then the relays, then producers and publishers flush.
pub struct Lifespan {
    publishers: Vec<Publisher>,
    producers: Vec<Producer>,
    consumers: Vec<Consumer>,
    relays: Vec<Relay>,
    health: Health,
    drain: Duration,
}

/// Why a service did not run to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// A consumer did not start.
    #[error("consumer group {group:?} did not start")]
    Start {
        /// Its group.
        group: String,
        /// Why.
        source: StartError,
    },
    /// The server failed.
    #[error("the HTTP server failed")]
    Http(#[from] std::io::Error),
    /// A consumer ended by itself.
    #[error("a consumer ended by itself: {}", stopped.failures().join("; "))]
    ConsumerEnded {
        /// How the rest was stopped.
        stopped: Stopped,
    },
}

/// How a service stopped.
#[derive(Debug, Clone, Default)]
pub struct Stopped {
    /// Consumers, in the order they were given.
    pub consumers: Vec<StopReport>,
    /// Relays, in the order they were given.
    pub relays: Vec<RelayReport>,
    /// Events and messages that publishers and producers could not flush.
    pub unpublished: Vec<EventId>,
    /// Whether requests were still running when their time was over.
    pub requests_cut: bool,
}

impl Stopped {
    /// Whether nothing was left behind.
    pub fn is_clean(&self) -> bool {
        self.unpublished.is_empty()
            && !self.requests_cut
            && self.consumers.iter().all(StopReport::is_clean)
            && self.relays.iter().all(RelayReport::is_clean)
    }

    fn failures(&self) -> Vec<String> {
        self.consumers.iter().flat_map(|report| report.failures.clone()).collect()
    }
}

impl Lifespan {
    /// A lifespan of nothing yet.
    #[allow(
        clippy::new_without_default,
        reason = "an empty lifespan is a beginning, not a default"
    )]
    pub fn new() -> Self {
        let health = Health::default();
        health.phase(Some("the service is starting"));
        Self {
            publishers: Vec::new(),
            producers: Vec::new(),
            consumers: Vec::new(),
            relays: Vec::new(),
            health,
            drain: Duration::from_secs(20),
        }
    }

    /// Flushes this publisher at the end, and asks its broker for readiness.
    #[must_use]
    pub fn publisher(mut self, publisher: Publisher) -> Self {
        self.health.add_publisher(publisher.clone());
        self.publishers.push(publisher);
        self
    }

    /// Flushes this producer at the end, with the retries that there is time for, and asks its broker for readiness.
    #[must_use]
    pub fn producer(mut self, producer: Producer) -> Self {
        self.health.add_producer(producer.clone());
        self.producers.push(producer);
        self
    }

    /// Starts and stops this consumer, and asks it for readiness.
    #[must_use]
    pub fn consumer(mut self, consumer: Consumer) -> Self {
        self.consumers.push(consumer);
        self
    }

    /// Starts and stops this relay, and asks it for readiness.
    #[must_use]
    pub fn relay(mut self, relay: Relay) -> Self {
        self.relays.push(relay);
        self
    }

    /// Asks this view of a state topic for readiness. It runs already, and ends with its last clone.
    #[must_use]
    pub fn state_view<T, V>(self, view: &StateView<T, V>) -> Self {
        self.health.add_view(view.status().clone());
        self
    }

    /// How long requests, then handlers, then relays, then the flush may each take at the end.
    /// Default 20 s; keep four times of it, and some seconds, under what your orchestrator waits before it kills.
    #[must_use]
    pub fn drain(mut self, each: Duration) -> Self {
        self.drain = each;
        self
    }

    /// Reports its publishers, producers, consumers and relays.
    #[cfg(feature = "otel")]
    #[must_use]
    pub fn metrics(self, metrics: crate::telemetry::Metrics) -> Self {
        self.health.report(metrics);
        self
    }

    /// Shows on the readiness route what is wrong. Default: no, since strangers may ask it.
    #[must_use]
    pub fn health_details(self) -> Self {
        self.health.show_details();
        self
    }

    /// What readiness is made of.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// `GET /health/live` and `GET /health/ready`, to be merged into a router.
    pub fn health_routes<S: Clone + Send + Sync + 'static>(&self) -> Router<S> {
        self.health.routes()
    }

    /// Runs until SIGINT or SIGTERM.
    ///
    /// # Errors
    /// As [`serve_until`](Self::serve_until).
    pub async fn serve(self, listener: TcpListener, router: Router) -> Result<Stopped, ServeError> {
        self.serve_until(listener, router, terminated()).await
    }

    /// Runs until `shutdown` is ready. The server answers at once; readiness is red until the
    /// consumers have joined.
    ///
    /// # Errors
    /// When a consumer does not start or ends by itself, or the server fails. All that ran is
    /// stopped first.
    pub async fn serve_until(
        self,
        listener: TcpListener,
        router: Router,
        shutdown: impl Future<Output = ()>,
    ) -> Result<Stopped, ServeError> {
        let Self { publishers, producers, consumers, relays, health, drain } = self;
        let (stop, stopping) = watch::channel(false);
        let mut server = tokio::spawn(serve(listener, router, stopping));
        let relays: Vec<_> = relays.into_iter().map(Relay::start).collect();
        relays.iter().for_each(|relay| health.add_relay(relay.status().clone()));
        let mut running = Vec::new();
        let mut outcome = Ok(());
        tokio::pin!(shutdown);
        let start = start(consumers, &mut running, &health);
        tokio::select! {
            biased;
            started = start => outcome = started,
            () = &mut shutdown => {}
        }
        if outcome.is_ok() {
            tokio::select! {
                biased;
                () = &mut shutdown => {}
                () = any_ended(&mut running) => {}
                served = &mut server => {
                    outcome = served.map_err(std::io::Error::other).and_then(|s| s).map_err(ServeError::Http);
                }
            }
        }
        health.phase(Some("the service is stopping"));
        // The server has ended already where there is nobody to hear it.
        let _ = stop.send(true);
        let mut stopped = Stopped::default();
        if !server.is_finished() {
            stopped.requests_cut = timeout(drain, &mut server).await.is_err();
            server.abort();
        }
        let stops = running.into_iter().map(|consumer| consumer.stop(drain));
        stopped.consumers = futures::future::join_all(stops).await;
        let stops = relays.into_iter().map(|relay: RunningRelay| relay.stop(drain));
        stopped.relays = futures::future::join_all(stops).await;
        // Each closes what the others of its transport send through, and a producer may still have retries to make.
        let closing = Instant::now();
        let closes = producers.iter().map(|producer| producer.close(drain));
        stopped.unpublished = futures::future::join_all(closes).await.concat();
        let left = drain.saturating_sub(closing.elapsed());
        let closes = publishers.iter().map(|publisher| publisher.close(left));
        stopped.unpublished.extend(futures::future::join_all(closes).await.concat());
        if !stopped.is_clean() {
            tracing::warn!(?stopped, "the stop left something behind");
        }
        outcome?;
        match stopped.failures().is_empty() {
            true => Ok(stopped),
            false => Err(ServeError::ConsumerEnded { stopped }),
        }
    }
}

async fn start(
    consumers: Vec<Consumer>,
    running: &mut Vec<RunningConsumer>,
    health: &Health,
) -> Result<(), ServeError> {
    for consumer in consumers {
        let group = consumer.group().to_owned();
        let consumer =
            consumer.start().await.map_err(|source| ServeError::Start { group, source })?;
        health.add_consumer(consumer.status().clone());
        running.push(consumer);
    }
    health.phase(None);
    Ok(())
}

async fn serve(
    listener: TcpListener,
    router: Router,
    mut stopping: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let stopped = async move {
        // An error says that the lifespan is gone, which is a stop too.
        let _ = stopping.wait_for(|stop| *stop).await;
    };
    axum::serve(listener, router).with_graceful_shutdown(stopped).await
}

async fn any_ended(running: &mut [RunningConsumer]) {
    if running.is_empty() {
        return std::future::pending().await;
    }
    futures::future::select_all(running.iter_mut().map(|consumer| Box::pin(consumer.ended())))
        .await;
}

/// SIGINT or SIGTERM.
async fn terminated() {
    let interrupt = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending::<()>();
    tokio::select! {
        biased;
        () = interrupt => {}
        () = terminate => {}
    }
}
