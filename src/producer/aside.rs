//! What is left behind of a message that was given up: a dead letter with its history, and a line for those who watch.

use std::sync::Arc;

use serde::Serialize;

use super::{AttemptError, DeliveryContext, MessageId};
use crate::clock::{BrokerClock, Millis};
use crate::error::{chain, one_line};
use crate::event::{Headers, Source, TopicName, header};
use crate::publisher::Line;
use crate::transport::{Delivered, DeliveryCounts, ProduceError, Receipt, Record};

/// Attempts that a history keeps, the last ones.
const KEPT: usize = 16;
/// The longest error text of one attempt, in bytes.
const ATTEMPT_TEXT: usize = 256;
/// The longest error text in a header of its own, in bytes.
const ERROR_TEXT: usize = 1024;

/// Failed attempts, oldest first.
#[derive(Default)]
pub(super) struct History {
    kept: std::collections::VecDeque<Failed>,
    first: Option<Millis>,
}

#[derive(Debug, Serialize)]
struct Failed {
    attempt: u32,
    /// Unix milliseconds.
    at: Millis,
    error: String,
}

/// Where it goes.
pub(super) struct Aside {
    pub(super) dead_letters: Option<TopicName>,
    pub(super) errors: Option<TopicName>,
    service: Source,
    clock: BrokerClock,
}

/// What the central error topic is told, as one line of JSON.
#[derive(Serialize)]
struct Report<'a> {
    service: &'a str,
    topic: &'a str,
    message_id: String,
    class: String,
    error: String,
    attempts: u32,
    first_failed_at: Millis,
    last_failed_at: Millis,
    dead_letter: Option<Place<'a>>,
}

#[derive(Serialize)]
struct Place<'a> {
    topic: &'a str,
    partition: i32,
    offset: i64,
}

impl History {
    fn failed(&mut self, attempt: u32, at: Millis, error: &AttemptError) {
        self.first.get_or_insert(at);
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        let error = one_line(&chain(error), ATTEMPT_TEXT);
        self.kept.push_back(Failed { attempt, at, error });
    }

    fn last(&self) -> Option<Millis> {
        self.kept.back().map(|failed| failed.at)
    }
}

impl Aside {
    pub(super) fn new(service: Source, clock: BrokerClock) -> Self {
        Self { dead_letters: None, errors: None, service, clock }
    }

    /// Notes that an attempt failed.
    pub(super) fn note(&self, history: &mut History, attempt: u32, error: &AttemptError) {
        history.failed(attempt, self.clock.now(), error);
    }

    /// Sends the message to the dead letters, and says where it lies when it is safe there.
    pub(super) async fn dead_letter(
        &self,
        line: &Line,
        delivery: &DeliveryContext,
        error: &AttemptError,
        history: &History,
    ) -> Option<Delivered> {
        let topic = self.dead_letters.as_ref()?;
        let mut record = dead(delivery, topic, error, history);
        let mut answer = send(line, &record, &delivery.id).await;
        if matches!(answer, Err(ProduceError::TooLarge { .. })) {
            // What is only told may be what makes it too large.
            let told = [header::SEND_HISTORY, header::ERROR_MESSAGE];
            let kept = |name: &[u8]| !told.iter().any(|told| told.as_bytes() == name);
            record.headers = record.headers.filtered(kept);
            answer = send(line, &record, &delivery.id).await;
        }
        match answer {
            Ok(delivered) => Some(delivered),
            Err(error) => {
                let (id, from) = (&delivery.id, delivery.topic());
                tracing::error!(%id, topic = %from, %error, "a message that was given up is not among the dead letters");
                None
            }
        }
    }

    /// Tells the central error topic, and does not wait for it.
    pub(super) fn report(
        &self,
        line: &Line,
        delivery: &DeliveryContext,
        error: &AttemptError,
        history: &History,
        dead_letter: Option<&Delivered>,
    ) {
        let Some(topic) = &self.errors else { return };
        let now = self.clock.now();
        let report = Report {
            service: self.service.as_str(),
            topic: delivery.topic().as_str(),
            message_id: delivery.id.to_string(),
            class: error.class().to_string(),
            error: one_line(&chain(error), ERROR_TEXT),
            attempts: delivery.attempt,
            first_failed_at: history.first.unwrap_or(now),
            last_failed_at: history.last().unwrap_or(now),
            dead_letter: self.dead_letters.as_ref().zip(dead_letter).map(|(topic, at)| Place {
                topic: topic.as_str(),
                partition: at.partition,
                offset: at.offset,
            }),
        };
        let Some(payload) = json(&report) else { return };
        let id = MessageId::new();
        let mut headers = Headers::default();
        id.with_str(|id| headers.push(header::MESSAGE_ID, id));
        headers.push(header::CONTENT_TYPE, "application/json");
        delivery.id.with_str(|id| headers.push(header::PLAIN_CAUSATION_ID, id));
        let record = Record {
            topic: topic.clone(),
            partition: None,
            key: None,
            payload: Some(payload.into()),
            headers,
            timestamp: None,
        };
        // A queue that is full holds what matters more.
        let receipt = Receipt::counted(Some(id), Arc::<DeliveryCounts>::default());
        if line.producer.enqueue(&record, receipt).is_err() {
            tracing::warn!(id = %delivery.id, %topic, "the queue is full: the error topic is not told of a message");
        }
    }
}

async fn send(line: &Line, record: &Record, id: &MessageId) -> Result<Delivered, ProduceError> {
    line.queue(record, id.clone()).await?.settled().await
}

/// Key, value and headers byte for byte, and what went wrong.
fn dead(
    delivery: &DeliveryContext,
    topic: &TopicName,
    error: &AttemptError,
    history: &History,
) -> Record {
    let record = &*delivery.record;
    let mut headers = record.headers.filtered(|_| true);
    headers.push(header::ORIGIN_TOPIC, record.topic.as_str());
    headers.push(header::ERROR_KIND, error.class().to_string());
    headers.push(header::ERROR_MESSAGE, one_line(&chain(error), ERROR_TEXT));
    for (name, at) in
        [(header::FIRST_FAILED_AT, history.first), (header::LAST_FAILED_AT, history.last())]
    {
        if let Some(at) = at {
            headers.push(name, at.to_string());
        }
    }
    headers.push(header::SEND_ATTEMPTS, delivery.attempt.to_string());
    if let Some(history) = json(&history.kept) {
        headers.push(header::SEND_HISTORY, history);
    }
    Record { topic: topic.clone(), partition: None, headers, ..record.clone() }
}

/// One line of JSON; none without the feature `json`.
fn json(value: &impl Serialize) -> Option<Vec<u8>> {
    #[cfg(feature = "json")]
    {
        let mut line = Vec::new();
        crate::codec::Format::Json.encode(value, &mut line).ok()?;
        Some(line)
    }
    #[cfg(not(feature = "json"))]
    {
        let _ = value;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_keeps_the_last_attempts_and_when_the_first_one_failed() {
        let mut history = History::default();
        for n in 1..=100_u32 {
            history.failed(n, i64::from(n), &ProduceError::Closed.into());
        }
        assert_eq!((history.kept.len(), history.first, history.last()), (KEPT, Some(1), Some(100)));
        assert_eq!(history.kept[0].attempt, 85);
    }
}
