//! The failure path: retry tiers, dead letters, quarantine. Nothing is given up on the way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::assignment::{Assignment, Counted};
use super::health::{Blocked, MemberHealth};
use super::pause::Reason;
use super::read::Past;
use super::work::at;
use crate::clock::{BrokerClock, Millis, millis};
use crate::codec::cloudevents;
use crate::error::one_line;
use crate::event::{Headers, TopicName, header};
use crate::publisher::enqueue;
use crate::retry::Backoff;
use crate::transport::{
    DeliveryCounts, ProduceError, Producer, Receipt, Received, Record, TopicPartition,
};

/// The longest error text on a record, in bytes.
const ERROR_TEXT: usize = 1024;

/// Sends failed events on, and keeps at it until the broker has them.
pub(super) struct Forward {
    producer: Arc<dyn Producer>,
    counts: Arc<DeliveryCounts>,
    clock: BrokerClock,
    backoff: Backoff,
    /// How often the broker was asked for the time, and what became of that.
    asked: AtomicU64,
    answers: Arc<DeliveryCounts>,
}

/// Why an event goes where it goes.
pub(super) struct Failure<'a> {
    pub(super) kind: &'static str,
    pub(super) message: &'a str,
    pub(super) times: Times,
}

/// When something failed.
#[derive(Clone, Copy)]
pub(super) struct Times {
    /// For the first time since the record was read.
    pub(super) first: Millis,
    pub(super) last: Millis,
}

/// Who failed, and is to run a retried or redriven event.
pub(super) struct Address<'a> {
    pub(super) group: &'a str,
    /// `None` where no handler has failed: the record could not be read, or nobody takes it.
    pub(super) handler: Option<(&'a str, Past)>,
}

impl Forward {
    pub(super) fn new(producer: Arc<dyn Producer>, clock: BrokerClock) -> Self {
        Self {
            producer,
            counts: Arc::default(),
            clock,
            backoff: Backoff::exponential(Duration::from_millis(100)).cap(Duration::from_secs(5)),
            asked: AtomicU64::new(0),
            answers: Arc::default(),
        }
    }

    /// Once, just now.
    pub(super) fn now(&self) -> Times {
        let now = self.clock.now();
        Times { first: now, last: now }
    }

    /// The record for a tier: same key, payload and partition, and when it is due.
    pub(super) fn retry(
        &self,
        received: &Received,
        on_tier: bool,
        tier: (&TopicName, Duration),
        address: &Address<'_>,
        failure: &Failure<'_>,
    ) -> Record {
        let mut headers = Self::failed(received, failure, on_tier);
        addressed(&mut headers, address);
        let due = self.clock.now().saturating_add(millis(tier.1));
        headers.push(header::RETRY_NOT_BEFORE, due.to_string());
        record(received, tier.0, Some(received.partition), headers)
    }

    /// The record for a dead-letter or quarantine topic: key and payload byte for byte.
    pub(super) fn aside(
        &self,
        received: &Received,
        on_tier: bool,
        topic: &TopicName,
        address: &Address<'_>,
        failure: &Failure<'_>,
    ) -> Record {
        let mut headers = Self::failed(received, failure, on_tier);
        addressed(&mut headers, address);
        record(received, topic, None, headers)
    }

    /// Has the broker say what time it is, with the acknowledgement of a record that is for nobody: a
    /// consumer that has sent nothing yet has only this machine's clock, which may be set wrong.
    ///
    /// Nobody waits for it. Until the answer is there, what waits on a tier waits all of that tier's
    /// time from when it was read.
    pub(super) fn ask_the_time(&self, tier: &TopicPartition) {
        let answered = self.answers.acknowledged() + self.answers.failed();
        if answered < self.asked.load(Ordering::Relaxed) {
            return;
        }
        self.asked.fetch_add(1, Ordering::Relaxed);
        let mut headers = Headers::default();
        headers.push(header::RETRY_GROUP, "");
        let record = Record {
            topic: tier.topic.clone(),
            partition: Some(tier.partition),
            key: None,
            payload: None,
            headers,
            timestamp: None,
        };
        let receipt = Receipt::counted(None, self.answers.clone());
        // A queue that is full holds what will be answered; the receipt counts as failed.
        drop(self.producer.enqueue(&record, receipt));
    }

    /// The record's own headers byte for byte, and then where it came from and what went wrong. Those
    /// that an earlier failure wrote are replaced; where it came from first is kept. On a main topic
    /// nobody can have failed yet: there they are a stranger's words and mean nothing.
    fn failed(received: &Received, failure: &Failure<'_>, on_tier: bool) -> Headers {
        let before = &received.headers;
        let mut headers =
            before.filtered(|name| !header::FAILURE.iter().any(|ours| ours.as_bytes() == name));
        let origin = Origin::of(received, on_tier);
        headers.push(header::ORIGIN_TOPIC, origin.topic);
        headers.push(header::ORIGIN_PARTITION, origin.partition.to_string());
        headers.push(header::ORIGIN_OFFSET, origin.offset.to_string());
        if let Some(timestamp) = origin.timestamp {
            headers.push(header::ORIGIN_TIMESTAMP, timestamp.to_string());
        }
        headers.push(header::ERROR_KIND, failure.kind);
        headers.push(header::ERROR_MESSAGE, one_line(failure.message, ERROR_TEXT));
        let first = before
            .get_str(header::FIRST_FAILED_AT)
            .filter(|_| on_tier)
            .and_then(|text| text.parse::<Millis>().ok());
        let Times { first: here, last } = failure.times;
        headers.push(header::FIRST_FAILED_AT, first.unwrap_or(here).to_string());
        headers.push(header::LAST_FAILED_AT, last.to_string());
        headers
    }

    /// Sends the record; `false` when the assignment was revoked before the broker had it.
    ///
    /// There is one copy of it on the way at a time: the client may still send one that nobody has
    /// heard of for long, and a second one would double the event. One that is too large is sent
    /// without what it can do without; where that is too large too, it is tried again as any other:
    /// the event is not given up, and what stands in the way can be raised.
    pub(super) async fn send(
        &self,
        received: &Received,
        record: &Record,
        assignment: &Assignment,
        health: &MemberHealth,
    ) -> bool {
        let mut stuck: Option<(Blocked<'_>, Counted<'_>)> = None;
        let mut tries: u32 = 0;
        loop {
            let mut blocked = |error: &ProduceError| {
                let (at, topic, partition) = (at(received), &record.topic, &assignment.partition);
                let why = format!("the failed event {at} cannot be moved to {topic}: {error}");
                tracing::warn!(record = at, %topic, %error, "the failure path is blocked; trying again");
                match &stuck {
                    Some((blocked, _)) => blocked.say(why),
                    None => {
                        let blocked = health.block(partition.to_string(), Reason::FailurePath, why);
                        stuck = Some((blocked, Counted::new(&assignment.stuck)));
                    }
                }
            };
            let mut outcome = self.try_send(record, assignment, &mut blocked).await;
            if let Some(Err(ProduceError::TooLarge { .. })) = outcome {
                outcome = self.try_send(&lean(record), assignment, &mut blocked).await;
            }
            match outcome {
                None => return false,
                Some(Ok(())) => return true,
                Some(Err(error)) => blocked(&error),
            }
            tries = tries.saturating_add(1);
            if !assignment.wait(self.backoff.delay(tries)).await {
                return false;
            }
        }
    }

    /// Sends one copy and waits until it is stored or given up, however long that takes; `late` hears
    /// of it when it takes long. `None` when the assignment was revoked meanwhile.
    async fn try_send(
        &self,
        record: &Record,
        assignment: &Assignment,
        late: impl FnOnce(&ProduceError),
    ) -> Option<Result<(), ProduceError>> {
        let (receipt, mut answer) = Receipt::one(None, self.counts.clone());
        let queued = enqueue(&*self.producer, record, receipt, self.producer.send_wait());
        if let Err(error) = queued.await {
            return Some(Err(error));
        }
        let waited = self.producer.delivery_wait();
        let answered = match tokio::time::timeout(waited, &mut answer).await {
            Ok(answered) => answered,
            Err(_) => {
                late(&ProduceError::NoAnswer { waited });
                tokio::select! {
                    biased;
                    answered = answer => answered,
                    () = assignment.revoked() => return None,
                }
            }
        };
        Some(answered.unwrap_or(Err(ProduceError::Closed)).map(drop))
    }
}

fn record(
    received: &Received,
    topic: &TopicName,
    partition: Option<i32>,
    headers: Headers,
) -> Record {
    Record {
        topic: topic.clone(),
        partition,
        key: received.key.clone(),
        payload: received.payload.clone(),
        headers,
        timestamp: None,
    }
}

/// The same record without the headers that nothing follows from.
fn lean(record: &Record) -> Record {
    let only_told = [header::ERROR_MESSAGE, header::FIRST_FAILED_AT, header::LAST_FAILED_AT];
    let kept = |name: &[u8]| !only_told.iter().any(|told| told.as_bytes() == name);
    Record { headers: record.headers.filtered(kept), ..record.clone() }
}

fn addressed(headers: &mut Headers, address: &Address<'_>) {
    headers.push(header::RETRY_GROUP, address.group);
    let Some((handler, past)) = address.handler else { return };
    headers.push(header::RETRY_HANDLER, handler);
    headers.push(header::RETRY_ATTEMPT, past.deliveries.to_string());
    headers.push(header::RETRY_CALLS, past.calls.to_string());
}

/// Where a record was first read.
pub(super) struct Origin<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) timestamp: Option<Millis>,
}

impl<'a> Origin<'a> {
    /// On a tier what its headers say, if all of them do; else where it lies now.
    pub(super) fn of(received: &'a Received, on_tier: bool) -> Self {
        let said = on_tier.then(|| Self::in_headers(&received.headers)).flatten();
        said.unwrap_or(Self {
            topic: received.topic.as_str(),
            partition: received.partition,
            offset: received.offset,
            timestamp: received.timestamp.map(|timestamp| timestamp.millis()),
        })
    }

    fn in_headers(headers: &'a Headers) -> Option<Self> {
        Some(Self {
            topic: headers.get_str(header::ORIGIN_TOPIC)?,
            partition: headers.get_str(header::ORIGIN_PARTITION)?.parse().ok()?,
            offset: headers.get_str(header::ORIGIN_OFFSET)?.parse().ok()?,
            timestamp: headers.get_str(header::ORIGIN_TIMESTAMP).and_then(|text| text.parse().ok()),
        })
    }

    pub(super) fn place(&self) -> cloudevents::Place<'a> {
        cloudevents::Place {
            topic: self.topic,
            partition: self.partition,
            offset: self.offset,
            timestamp: self.timestamp,
        }
    }
}
