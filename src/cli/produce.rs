//! `produce`: a record for each line of JSON.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use indicatif::ProgressBar;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::args::Produce;
use super::connect::Session;
use super::error::{CliError, Exit};
use super::out::Out;
use super::progress;
use crate::error::ErrorClass;
use crate::event::Headers;
use crate::publisher::enqueue;
use crate::transport::{
    Delivered, DeliveryCounts, ProduceError, Producer, Receipt, Record, Transport,
};

/// Lines that may wait to be sent.
const AHEAD: usize = 1_000;
/// Records that may be on their way.
const OPEN: usize = 10_000;

/// A line, by its number from 1 up.
struct Line {
    number: u64,
    payload: Bytes,
    key: Option<Bytes>,
}

type Lines = mpsc::Receiver<Result<Line, CliError>>;

pub(super) async fn run(session: &Session, wanted: Produce, out: &mut Out) -> Result<(), CliError> {
    // Before anything is sent, and before a broker is asked.
    let total = match &wanted.file {
        Some(path) => Some(check(path, wanted.key_field.as_deref())?),
        None => None,
    };
    let kafka = session.connect()?;
    let admin = kafka.admin();
    tokio::select! {
        found = session.topic(&*admin, &wanted.topic) => drop(found?),
        () = session.interrupted() => return Err(CliError::interrupted()),
    }
    let lines = read(&wanted)?;
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

fn open(path: &Path) -> Result<File, CliError> {
    let file = File::open(path);
    file.map_err(|error| CliError::input(format!("{} cannot be read: {error}", path.display())))
}

/// Reads a file to its end; answers how many lines will be sent.
fn check(path: &Path, key_field: Option<&str>) -> Result<u64, CliError> {
    let mut count = 0;
    each(open(path)?, key_field, |_| {
        count += 1;
        true
    })?;
    Ok(count)
}

/// The lines as they are read, on a thread of their own: reading blocks.
fn read(wanted: &Produce) -> Result<Lines, CliError> {
    let source: Box<dyn Read + Send> = match &wanted.file {
        Some(path) => Box::new(open(path)?),
        None => Box::new(std::io::stdin()),
    };
    let key_field = wanted.key_field.clone();
    let (sender, lines) = mpsc::channel(AHEAD);
    let work = move || {
        let read =
            each(source, key_field.as_deref(), |line| sender.blocking_send(Ok(line)).is_ok());
        if let Err(error) = read {
            // Nobody reads any more where an earlier line has failed.
            let _ = sender.blocking_send(Err(error));
        }
    };
    std::thread::Builder::new()
        .name("tidings-lines".into())
        .spawn(work)
        .map_err(|error| CliError::new(Exit::Refused, format!("no thread for reading: {error}")))?;
    Ok(lines)
}

/// Hands on each line that is not empty, until `take` wants no more.
fn each(
    source: impl Read,
    key_field: Option<&str>,
    mut take: impl FnMut(Line) -> bool,
) -> Result<(), CliError> {
    let mut source = BufReader::new(source);
    let mut buffer = Vec::new();
    for number in 1.. {
        buffer.clear();
        let wrong = |why: String| CliError::input(format!("line {number}: {why}"));
        let read = source.read_until(b'\n', &mut buffer);
        if read.map_err(|error| wrong(format!("it cannot be read: {error}")))? == 0 {
            break;
        }
        let text = buffer.trim_ascii();
        if text.is_empty() {
            continue;
        }
        let key = key(text, key_field).map_err(wrong)?;
        if !take(Line { number, payload: Bytes::copy_from_slice(text), key }) {
            break;
        }
    }
    Ok(())
}

/// Checks that a line is JSON, and takes its key out of it.
fn key(text: &[u8], field: Option<&str>) -> Result<Option<Bytes>, String> {
    let told = |error: serde_json::Error| match error.is_eof() {
        true => format!("the JSON is cut off: {error}"),
        false => format!("this is not JSON: {error}"),
    };
    let Some(field) = field else {
        return serde_json::from_slice::<IgnoredAny>(text).map(|_| None).map_err(told);
    };
    let value: Value = serde_json::from_slice(text).map_err(told)?;
    match value.get(field) {
        Some(Value::String(key)) => Ok(Some(Bytes::from(key.clone()))),
        Some(Value::Number(key)) => Ok(Some(Bytes::from(key.to_string()))),
        Some(_) => Err(format!("its field {field:?} is no text and no number, so it is no key")),
        None => Err(format!("it has no field {field:?} for its key")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str, key_field: Option<&str>) -> Result<Vec<(u64, Option<String>)>, String> {
        let mut found = Vec::new();
        let read = each(text.as_bytes(), key_field, |line| {
            let key = line.key.map(|key| String::from_utf8(key.to_vec()).unwrap());
            found.push((line.number, key));
            true
        });
        read.map(|()| found).map_err(|error| error.text)
    }

    #[test]
    fn lines_keep_their_number_and_empty_ones_are_passed_over() {
        assert_eq!(lines("{}\n\n  [1]\r\n2", None).unwrap(), [(1, None), (3, None), (4, None)]);
        let keyed = lines("{\"id\":\"a\"}\n{\"id\":7}\n", Some("id")).unwrap();
        assert_eq!(keyed, [(1, Some("a".into())), (2, Some("7".into()))]);
    }

    #[test]
    fn a_line_that_is_wrong_is_named_by_its_number() {
        for (text, key_field, why) in [
            ("{}\n{\"a\":", None, "line 2: the JSON is cut off"),
            ("{}\n\nnonsense\n", None, "line 3: this is not JSON"),
            ("{} {}", None, "line 1: this is not JSON"),
            ("{\"id\":1}\n{}", Some("id"), "line 2: it has no field \"id\""),
            ("{\"id\":[]}", Some("id"), "line 1: its field \"id\" is no text and no number"),
        ] {
            let error = lines(text, key_field).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
