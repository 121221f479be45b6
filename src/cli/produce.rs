//! `produce`: a record for each line, which is a payload or all of a record.

use std::collections::VecDeque;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use indicatif::ProgressBar;
use serde_json::json;
use tokio::sync::oneshot::{self, error::TryRecvError};

use super::args::{LineFormat, Produce};
use super::connect::Session;
use super::error::{CliError, Exit, is_turned_away};
use super::lines::{Form, Input, Lines, checked};
use super::out::Out;
use super::progress;
use crate::event::Headers;
use crate::publisher::enqueue;
use crate::transport::{
    Delivered, DeliveryCounts, ProduceError, Producer, Receipt, Record, Transport,
};

/// Records that may be on their way.
const OPEN: usize = 10_000;
/// How long it may take to end without a word.
const QUIET: Duration = Duration::from_secs(1);

pub(super) async fn run(session: &Session, wanted: Produce, out: &mut Out) -> Result<(), CliError> {
    let key = wanted.key.as_deref().map(checked).transpose();
    let key = key.map_err(|error| CliError::input(format!("--key: {error}")))?;
    // Before anything is sent, and before a broker is asked.
    let form = form(&wanted)?;
    let input = Input::open(wanted.file.as_deref(), &form)?;
    let total = input.lines();
    let kafka = session.connect()?;
    let admin = kafka.admin();
    tokio::select! {
        found = session.topic(&*admin, &wanted.topic) => drop(found?),
        () = session.interrupted() => return Err(CliError::interrupted()),
    }
    let lines = input.read(form)?;
    let mut headers = Headers::default();
    for pair in &wanted.headers {
        headers.push(&pair.name, &pair.value);
    }
    let blank = Record {
        topic: wanted.topic.clone(),
        partition: None,
        key,
        payload: None,
        headers,
        timestamp: None,
    };
    let producer = kafka.producer();
    let bar = progress::bar(total);
    let mut sending = Sending::new(producer.clone(), bar);
    let result = tokio::select! {
        biased;
        () = session.interrupted() => Err(CliError::interrupted()),
        sent = sending.all(lines, blank) => sent,
    };
    let open = sending.open.len();
    let settled = tokio::select! {
        biased;
        () = session.interrupted_again() => Err(CliError::interrupted()),
        () = tell_what_is_waited_for(session, open) => Ok(()),
        settled = sending.settle() => settled,
    };
    sending.bar.finish_and_clear();
    let open = sending.count_what_is_settled();
    if open == 0 {
        producer.close(producer.delivery_wait()).await;
    }
    let acknowledged = sending.acknowledged;
    match result.and(settled) {
        Err(error) => {
            let open = match open {
                0 => String::new(),
                open => format!("; not known to be: {open}"),
            };
            let behind = sending.behind();
            let text = format!("{}; lines acknowledged: {acknowledged}{open}{behind}", error.text);
            Err(error.told(text))
        }
        Ok(()) if out.is_json() => {
            let document = json!({ "topic": wanted.topic.as_str(), "acknowledged": acknowledged });
            out.line(&format!("{document:#}"))
        }
        Ok(()) => out.line(&format!("lines acknowledged by {}: {acknowledged}", wanted.topic)),
    }
}

/// What a line is, as the options say.
fn form(wanted: &Produce) -> Result<Form, CliError> {
    match wanted.format {
        LineFormat::Payload if wanted.without_headers.is_empty() => {
            Ok(Form::Payload { key_field: wanted.key_field.clone() })
        }
        LineFormat::Payload => Err(CliError::input(
            "`--without-header` goes with `--format json`: a line that is a payload has no headers",
        )),
        LineFormat::Json if wanted.key.is_none() && wanted.key_field.is_none() => {
            Ok(Form::Record { without: wanted.without_headers.clone() })
        }
        LineFormat::Json => Err(CliError::input(
            "`--key` and `--key-field` do not go with `--format json`: each line has its key",
        )),
    }
}

/// Says after Ctrl-C why the command does not end yet, and never ends itself.
async fn tell_what_is_waited_for(session: &Session, open: usize) {
    session.interrupted().await;
    if open > 0 {
        tokio::time::sleep(QUIET).await;
        let text = "waiting for the lines that are on their way; Ctrl-C again ends at once";
        // Where standard error is gone there is nobody to tell.
        let _ = writeln!(std::io::stderr(), "{text}");
    }
    std::future::pending().await
}

/// What was sent and is not acknowledged yet, in order.
struct Sending {
    producer: Arc<dyn Producer>,
    open: VecDeque<(u64, oneshot::Receiver<Result<Delivered, ProduceError>>)>,
    acknowledged: u64,
    /// The first line that has no acknowledgement, once that is known.
    first_without: Option<u64>,
    /// The last line that was handed to the producer.
    last: u64,
    bar: ProgressBar,
}

impl Sending {
    fn new(producer: Arc<dyn Producer>, bar: ProgressBar) -> Self {
        let open = VecDeque::new();
        Self { producer, open, acknowledged: 0, first_without: None, last: 0, bar }
    }

    fn without(&mut self, number: u64) {
        self.first_without = Some(self.first_without.map_or(number, |first| first.min(number)));
    }

    /// What may be stored behind the first line that is not: who resumes there stores it twice.
    fn behind(&self) -> String {
        match self.first_without {
            Some(first) if first < self.last => {
                let last = self.last;
                format!(
                    "; line {first} is the first that was not, and lines behind it, up to line {last}, may be stored"
                )
            }
            _ => String::new(),
        }
    }

    /// Sends line after line, up to the first that fails.
    async fn all(&mut self, mut lines: Lines, mut record: Record) -> Result<(), CliError> {
        let counts = Arc::new(DeliveryCounts::default());
        let (constant, added) = (record.key.take(), std::mem::take(&mut record.headers));
        while let Some(line) = lines.recv().await {
            let line = line?;
            record.payload = line.payload;
            record.key = line.key.or_else(|| constant.clone());
            record.headers = line.headers;
            for (name, value) in added.iter() {
                record.headers.push_raw(name, value);
            }
            let (receipt, answer) = Receipt::one(None, counts.clone());
            let wait = self.producer.send_wait();
            let queued = enqueue(&*self.producer, &record, receipt, wait).await;
            self.last = line.number;
            self.open.push_back((line.number, answer));
            queued.map_err(|error| refused(line.number, error))?;
            while self.open.len() > OPEN {
                self.next().await?;
            }
        }
        Ok(())
    }

    /// Waits for what is open; all of it is counted, the first that failed is told.
    async fn settle(&mut self) -> Result<(), CliError> {
        let mut result = Ok(());
        while !self.open.is_empty() {
            result = result.and(self.next().await);
        }
        result
    }

    /// Waits for the oldest. One that is not waited for to its end stays open.
    async fn next(&mut self) -> Result<(), CliError> {
        let Some((number, answer)) = self.open.front_mut() else { return Ok(()) };
        let (number, answer) = (*number, answer.await);
        self.open.pop_front();
        match answer.unwrap_or(Err(ProduceError::Closed)) {
            Ok(_) => {
                self.acknowledged += 1;
                self.bar.inc(1);
                Ok(())
            }
            Err(error) => {
                self.without(number);
                Err(refused(number, error))
            }
        }
    }

    /// Counts what has its answer; answers how many have none.
    fn count_what_is_settled(&mut self) -> usize {
        let mut open = 0;
        for (number, mut answer) in std::mem::take(&mut self.open) {
            match answer.try_recv() {
                Ok(Ok(_)) => {
                    self.acknowledged += 1;
                    continue;
                }
                Ok(Err(_)) | Err(TryRecvError::Closed) => {}
                Err(TryRecvError::Empty) => open += 1,
            }
            self.without(number);
        }
        open
    }
}

fn refused(number: u64, error: ProduceError) -> CliError {
    let text = format!("line {number} was not acknowledged: {error}");
    match error {
        // How long that took, the error says.
        ProduceError::NoAnswer { .. } | ProduceError::QueueFull { .. } => {
            CliError::unanswered(text)
        }
        _ if is_turned_away(&text) => CliError::new(Exit::NoBroker, text),
        _ => CliError::new(Exit::Refused, text),
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use bytes::Bytes;
    use tokio::sync::mpsc;

    use super::*;
    use crate::cli::lines::Line;
    use crate::event::{EventId, TopicName};
    use crate::transport::Unreachable;

    /// Stores all but these payloads.
    struct Refusing(&'static [&'static str]);

    #[async_trait]
    impl Producer for Refusing {
        fn enqueue(&self, record: &Record, receipt: Receipt) -> Result<(), Receipt> {
            let is_refused =
                self.0.iter().any(|no| record.payload.as_deref() == Some(no.as_bytes()));
            receipt.settle(match is_refused {
                true => Err(ProduceError::TooLarge {
                    topic: record.topic.clone(),
                    reason: "too large".into(),
                }),
                false => Ok(Delivered { partition: 0, offset: 0, appended_at: None }),
            });
            Ok(())
        }

        async fn room(&self) {}

        fn send_wait(&self) -> Duration {
            Duration::ZERO
        }

        fn delivery_wait(&self) -> Duration {
            Duration::ZERO
        }

        fn reachable(&self) -> Result<(), Unreachable> {
            Ok(())
        }

        async fn close(&self, _: Duration) -> Vec<EventId> {
            Vec::new()
        }
    }

    /// What is told of three lines of which these are refused.
    async fn told(refused: &'static [&'static str], settle: bool) -> (Option<String>, u64, String) {
        let mut sending = Sending::new(Arc::new(Refusing(refused)), ProgressBar::hidden());
        let (sender, lines) = mpsc::channel(3);
        for (number, payload) in (1..).zip(["one", "two", "three"]) {
            let payload = Some(Bytes::from_static(payload.as_bytes()));
            let line = Line { number, payload, key: None, headers: Headers::default() };
            assert!(sender.try_send(Ok(line)).is_ok());
        }
        drop(sender);
        let blank = Record {
            topic: TopicName::from_static("users"),
            partition: None,
            key: None,
            payload: None,
            headers: Headers::default(),
            timestamp: None,
        };
        assert!(sending.all(lines, blank).await.is_ok(), "no answer is waited for yet");
        let result = if settle { sending.settle().await } else { Ok(()) };
        assert_eq!(sending.count_what_is_settled(), 0);
        (result.err().map(|error| error.text), sending.acknowledged, sending.behind())
    }

    #[tokio::test]
    async fn lines_that_may_be_stored_behind_the_first_that_is_not_are_told() {
        let behind =
            "; line 2 is the first that was not, and lines behind it, up to line 3, may be stored";
        for refused in [&["two"][..], &["two", "three"]] {
            let (error, acknowledged, told_behind) = told(refused, true).await;
            assert!(error.unwrap().starts_with("line 2 was not acknowledged"));
            assert_eq!((acknowledged, &*told_behind), (3 - refused.len() as u64, behind));
        }
        // Interrupted before the answers were looked at.
        assert_eq!(told(&["two"], false).await, (None, 2, behind.into()));
        // Nothing lies behind the last.
        let (error, acknowledged, behind) = told(&["three"], true).await;
        assert!(error.unwrap().starts_with("line 3 was not acknowledged"));
        assert_eq!((acknowledged, &*behind), (2, ""));
        assert_eq!(told(&[], true).await, (None, 3, String::new()));
    }
}
