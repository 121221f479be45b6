//! Metrics for OpenTelemetry: read when they are collected, and at no cost in between.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Meter};

use super::names::{Metric, attribute, metric};
use crate::consumer::ConsumerStatus;
use crate::outbox::RelayStatus;
use crate::producer::Producer;
use crate::publisher::Publisher;
use crate::state::StateViewStatus;

/// Reports what publishers, producers, consumers and relays count, and what waits in outboxes.
///
/// [`names::metric`](super::names::metric) lists all of it. Nothing is kept alive by it: of what was
/// dropped nothing more is reported.
#[derive(Debug, Clone)]
pub struct Metrics(Meter);

impl Metrics {
    /// Reports to this meter, for one `opentelemetry::global::meter("user-service")`.
    pub fn new(meter: Meter) -> Self {
        Self(meter)
    }

    /// Reports a publisher: records sent, by outcome.
    pub fn publisher(&self, publisher: &Publisher) {
        let system = KeyValue::new(attribute::SYSTEM, publisher.system());
        self.count(&metric::SENT, publisher.weakly(), system, |publisher| {
            let counts = publisher.counts();
            vec![("acknowledged", counts.acknowledged()), ("failed", counts.failed())]
        });
    }

    /// Reports a producer: messages by outcome, and those that have not come to their end.
    pub fn producer(&self, producer: &Producer) {
        let system = || KeyValue::new(attribute::SYSTEM, producer.system());
        self.count(&metric::PRODUCED, producer.weakly(), system(), |producer| {
            producer.counts().by_outcome().to_vec()
        });
        self.gauge(&metric::OPEN, producer.weakly(), system(), |producer| producer.open() as f64);
    }

    /// Reports a consumer: records consumed, by outcome, its partitions, and whether it is ready.
    pub fn consumer(&self, status: &ConsumerStatus) {
        let group = || KeyValue::new(attribute::GROUP, status.group().to_owned());
        self.count(&metric::CONSUMED, status.weakly(), group(), |status| {
            let counts = status.counts();
            vec![
                ("handled", counts.handled()),
                ("dropped", counts.dropped()),
                ("retried", counts.retried()),
                ("dead_lettered", counts.dead_lettered()),
                ("quarantined", counts.quarantined()),
                ("skipped", counts.skipped()),
                ("duplicate", counts.duplicates()),
            ]
        });
        let gauge = |metric, read| self.gauge(metric, status.weakly(), group(), read);
        gauge(&metric::PARTITIONS, |status: &ConsumerStatus| status.partitions() as f64);
        gauge(&metric::PAUSED, |status: &ConsumerStatus| status.paused().len() as f64);
        gauge(&metric::CONSUMER_READY, |status| f64::from(u8::from(status.is_ready())));
    }

    /// Reports a relay: rows by outcome, what waits in its outbox, who holds it, and whether the
    /// relay is ready. The outbox is that of the relay's last look, at most a few seconds old.
    pub fn relay(&self, status: &RelayStatus) {
        let relay = || KeyValue::new(attribute::RELAY, status.name().to_owned());
        self.count(&metric::RELAYED, status.weakly(), relay(), |status| {
            let counts = status.counts();
            vec![
                ("published", counts.published()),
                ("retried", counts.retried()),
                ("parked", counts.parked()),
            ]
        });
        let gauge = |metric, read| self.gauge(metric, status.weakly(), relay(), read);
        gauge(&metric::WAITING, |status: &RelayStatus| status.backlog().rows as f64);
        gauge(&metric::OLDEST, |status| status.backlog().oldest.unwrap_or_default().as_secs_f64());
        gauge(&metric::DELAYED, |status| status.backlog().delayed as f64);
        gauge(&metric::PARKED, |status| status.backlog().parked as f64);
        gauge(&metric::BEHIND_PARKED, |status| status.backlog().behind_parked as f64);
        gauge(&metric::RELAY_READY, |status| f64::from(u8::from(status.problems().is_empty())));
        let owner = |relay: String| KeyValue::new(attribute::OWNER, relay);
        let (status, relay) = (status.weakly(), relay());
        self.observe(&metric::SHARDS, move |seen| {
            for held in status().into_iter().flat_map(|status| status.backlog().owners) {
                seen.observe(held.shards as f64, &[relay.clone(), owner(held.relay)]);
            }
        });
    }

    /// Reports a view of a state topic: keys, memory, and whether it is ready.
    pub fn state_view(&self, status: &StateViewStatus) {
        let topic = || KeyValue::new(attribute::TOPIC, status.topic().to_string());
        let gauge = |metric, read| self.gauge(metric, status.weakly(), topic(), read);
        gauge(&metric::STATE_KEYS, |status: &StateViewStatus| status.counts().keys() as f64);
        gauge(&metric::STATE_MEMORY, |status| status.counts().bytes() as f64);
        gauge(&metric::STATE_UNREADABLE, |status| status.counts().unreadable_keys() as f64);
        gauge(&metric::STATE_READY, |status| f64::from(u8::from(status.is_ready())));
    }

    fn count<S: 'static>(
        &self,
        metric: &Metric,
        find: impl Fn() -> Option<S> + Send + Sync + 'static,
        whose: KeyValue,
        read: fn(&S) -> Vec<(&'static str, u64)>,
    ) {
        self.0
            .u64_observable_counter(metric.name)
            .with_unit(metric.unit)
            .with_description(metric.description)
            .with_callback(move |seen| {
                for (outcome, count) in find().iter().flat_map(read) {
                    let outcome = KeyValue::new(attribute::OUTCOME, outcome);
                    seen.observe(count, &[whose.clone(), outcome]);
                }
            })
            .build();
    }

    fn gauge<S: 'static>(
        &self,
        metric: &Metric,
        find: impl Fn() -> Option<S> + Send + Sync + 'static,
        whose: KeyValue,
        read: fn(&S) -> f64,
    ) {
        self.observe(metric, move |seen| {
            if let Some(found) = find() {
                seen.observe(read(&found), std::slice::from_ref(&whose));
            }
        });
    }

    fn observe(
        &self,
        metric: &Metric,
        observe: impl Fn(&dyn AsyncInstrument<f64>) + Send + Sync + 'static,
    ) {
        self.0
            .f64_observable_gauge(metric.name)
            .with_unit(metric.unit)
            .with_description(metric.description)
            .with_callback(observe)
            .build();
    }
}
