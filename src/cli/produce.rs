//! `produce`: a record for each line of JSON.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use indicatif::ProgressBar;
use serde_json::json;
use tokio::sync::oneshot;

use super::args::Produce;
use super::connect::Session;
use super::error::{CliError, Exit};
use super::lines::{Input, Lines};
use super::out::Out;
use super::progress;
use crate::error::ErrorClass;
use crate::event::Headers;
use crate::publisher::enqueue;
use crate::transport::{
    Delivered, DeliveryCounts, ProduceError, Producer, Receipt, Record, Transport,
};

/// Records that may be on their way.
const OPEN: usize = 10_000;

pub(super) async fn run(session: &Session, wanted: Produce, out: &mut Out) -> Result<(), CliError> {
    // Before anything is sent, and before a broker is asked.
    let input = Input::open(wanted.file.as_deref(), wanted.key_field.as_deref())?;
    let total = input.lines();
    let kafka = session.connect()?;
    let admin = kafka.admin();
    tokio::select! {
        found = session.topic(&*admin, &wanted.topic) => drop(found?),
        () = session.interrupted() => return Err(CliError::interrupted()),
    }
    let lines = input.read(wanted.key_field.clone())?;
    let mut headers = Headers::default();
    for pair in &wanted.headers {
        headers.push(&pair.name, &pair.value);
    }
    let blank = Record {
        topic: wanted.topic.clone(),
        partition: None,
        key: wanted.key.clone().map(Bytes::from),
        payload: None,
        headers,
        timestamp: None,
    };
    let producer = kafka.producer();
    let bar = progress::bar(total);
    let mut sending =
        Sending { producer: producer.clone(), open: VecDeque::new(), acknowledged: 0, bar };
    let result = sending.all(session, lines, blank).await;
    let result = result.and(sending.settle().await);
    sending.bar.finish_and_clear();
    producer.close(producer.delivery_wait()).await;
    let acknowledged = sending.acknowledged;
    match result {
        Err(error) => {
            let text = format!("{}; lines acknowledged: {acknowledged}", error.text);
            Err(CliError::new(error.exit, text))
        }
        Ok(()) if out.is_json() => {
            let document = json!({ "topic": wanted.topic.as_str(), "acknowledged": acknowledged });
            out.line(&format!("{document:#}"))
        }
        Ok(()) => out.line(&format!("lines acknowledged by {}: {acknowledged}", wanted.topic)),
    }
}

/// What was sent and is not acknowledged yet, in order.
struct Sending {
    producer: Arc<dyn Producer>,
    open: VecDeque<(u64, oneshot::Receiver<Result<Delivered, ProduceError>>)>,
    acknowledged: u64,
    bar: ProgressBar,
}

impl Sending {
    /// Sends line after line, up to the first that fails.
    async fn all(
        &mut self,
        session: &Session,
        mut lines: Lines,
        mut record: Record,
    ) -> Result<(), CliError> {
        let counts = Arc::new(DeliveryCounts::default());
        let constant = record.key.take();
        loop {
            let line = tokio::select! {
                biased;
                () = session.interrupted() => return Err(CliError::interrupted()),
                line = lines.recv() => match line {
                    Some(line) => line?,
                    None => return Ok(()),
                },
            };
            record.payload = Some(line.payload);
            record.key = line.key.or_else(|| constant.clone());
            let (receipt, answer) = Receipt::one(None, counts.clone());
            let wait = self.producer.send_wait();
            let queued = enqueue(&*self.producer, &record, receipt, wait).await;
            self.open.push_back((line.number, answer));
            queued.map_err(|error| refused(line.number, error))?;
            while self.open.len() > OPEN {
                self.next().await?;
            }
        }
    }

    /// Waits for what is open; all of it is counted, the first that failed is told.
    async fn settle(&mut self) -> Result<(), CliError> {
        let mut result = Ok(());
        while !self.open.is_empty() {
            result = result.and(self.next().await);
        }
        result
    }

    async fn next(&mut self) -> Result<(), CliError> {
        let Some((number, answer)) = self.open.pop_front() else { return Ok(()) };
        match answer.await.unwrap_or(Err(ProduceError::Closed)) {
            Ok(_) => {
                self.acknowledged += 1;
                self.bar.inc(1);
                Ok(())
            }
            Err(error) => Err(refused(number, error)),
        }
    }
}

fn refused(number: u64, error: ProduceError) -> CliError {
    let exit = match error.class() {
        ErrorClass::Retriable => Exit::NoBroker,
        _ => Exit::Refused,
    };
    CliError::new(exit, format!("line {number} was not acknowledged: {error}"))
}
