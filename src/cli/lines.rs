//! The lines that `produce` sends: of a file, which is read to its end first, or of standard input.

use std::fs::File;
use std::hash::{DefaultHasher, Hasher as _};
use std::io::{BufRead, BufReader, Read, Seek as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::de::IgnoredAny;
use serde_json::Value;
use tokio::sync::mpsc;

use super::error::{CliError, Exit};
use super::records::WrittenRecord;
use crate::event::Headers;
use crate::producer::{InvalidMessage, MessageKey};

/// Lines that may wait to be sent.
const AHEAD: usize = 1_000;

/// A line, by its number from 1 up.
pub(super) struct Line {
    pub(super) number: u64,
    /// `None` is a tombstone.
    pub(super) payload: Option<Bytes>,
    pub(super) key: Option<Bytes>,
    pub(super) headers: Headers,
}

/// What a line is.
#[derive(Debug, Clone)]
pub(super) enum Form {
    /// A payload, perhaps with the key in one of its fields.
    Payload { key_field: Option<String> },
    /// A record as `consume` writes it, without the headers of these names.
    Record { without: Vec<String> },
}

impl Form {
    fn line(&self, number: u64, text: &[u8]) -> Result<Line, String> {
        match self {
            Self::Payload { key_field } => {
                let (key, payload) =
                    (key(text, key_field.as_deref())?, Bytes::copy_from_slice(text));
                Ok(Line { number, payload: Some(payload), key, headers: Headers::default() })
            }
            Self::Record { without } => {
                let WrittenRecord { key, payload, headers } = WrittenRecord::read(text)?;
                let stays = |name: &[u8]| !without.iter().any(|pattern| matches(pattern, name));
                Ok(Line { number, payload, key, headers: headers.filtered(stays) })
            }
        }
    }
}

/// Whether a name is this one, in which `*` stands for anything. Only the last `*` is tried again, since what was found for
/// those before it stays right: the time is that of one length by the other.
fn matches(pattern: &str, name: &[u8]) -> bool {
    let pattern = pattern.as_bytes();
    let (mut at, mut read) = (0, 0);
    // Behind the last `*`, and how far it reaches.
    let mut star = None;
    while read < name.len() {
        match (pattern.get(at), star) {
            (Some(b'*'), _) => {
                at += 1;
                star = Some((at, read));
            }
            (Some(byte), _) if *byte == name[read] => {
                at += 1;
                read += 1;
            }
            (_, Some((behind, reach))) => {
                (at, read) = (behind, reach + 1);
                star = Some((behind, read));
            }
            (_, None) => return false,
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

/// Lines as they are read; the last is an error where reading has failed.
pub(super) type Lines = mpsc::Receiver<Result<Line, CliError>>;

/// Where lines come from.
pub(super) enum Input {
    /// A file in which no line is wrong.
    File { file: File, path: PathBuf, seen: Seen },
    /// Standard input, of which nothing is known before it is read.
    Standard,
}

/// What a file had when it was looked at.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    lines: u64,
    digest: u64,
}

impl Seen {
    fn add(&mut self, line: &Line) {
        self.lines += 1;
        let mut digest = DefaultHasher::new();
        digest.write_u64(self.digest);
        for part in [&line.key, &line.payload] {
            digest.write_u8(part.is_some().into());
            digest.write(part.as_deref().unwrap_or_default());
        }
        for (name, value) in line.headers.iter() {
            digest.write(name);
            digest.write(value.unwrap_or_default());
        }
        self.digest = digest.finish();
    }
}

impl Input {
    /// Reads a file to its end; standard input where none is named.
    pub(super) fn open(path: Option<&Path>, form: &Form) -> Result<Self, CliError> {
        let Some(path) = path else { return Ok(Self::Standard) };
        let unreadable =
            |error| CliError::input(format!("{} cannot be read: {error}", path.display()));
        // Before it is opened, which for a pipe waits for its writer.
        if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
            return Err(CliError::input(format!(
                "{} is no regular file, and cannot be read twice; send it to standard input, without `--file`",
                path.display()
            )));
        }
        let mut file = File::open(path).map_err(unreadable)?;
        let mut seen = Seen::default();
        each(&file, form, |line| {
            seen.add(&line);
            true
        })?;
        file.rewind().map_err(unreadable)?;
        Ok(Self::File { file, path: path.into(), seen })
    }

    /// How many lines there are, where that is known.
    pub(super) fn lines(&self) -> Option<u64> {
        match self {
            Self::File { seen, .. } => Some(seen.lines),
            Self::Standard => None,
        }
    }

    /// The lines as they are read, on a thread of their own: reading blocks.
    pub(super) fn read(self, form: Form) -> Result<Lines, CliError> {
        let (sender, lines) = mpsc::channel(AHEAD);
        let work = move || {
            if let Err(error) = self.send(&form, &sender) {
                // Nobody reads any more where an earlier line has failed.
                let _ = sender.blocking_send(Err(error));
            }
        };
        std::thread::Builder::new().name("tidings-lines".into()).spawn(work).map_err(|error| {
            CliError::new(Exit::Refused, format!("no thread for reading: {error}"))
        })?;
        Ok(lines)
    }

    fn send(
        self,
        form: &Form,
        sender: &mpsc::Sender<Result<Line, CliError>>,
    ) -> Result<(), CliError> {
        let Self::File { file, path, seen } = self else {
            let send = |line| sender.blocking_send(Ok(line)).is_ok();
            return each(std::io::stdin(), form, send);
        };
        let (mut sent, mut wanted) = (Seen::default(), true);
        each(file, form, |line| {
            sent.add(&line);
            wanted = sender.blocking_send(Ok(line)).is_ok();
            wanted
        })?;
        if wanted && sent != seen {
            let path = path.display();
            return Err(CliError::input(format!("{path} was changed while it was sent")));
        }
        Ok(())
    }
}

/// Hands on each line that is not empty, until `take` wants no more.
fn each(
    source: impl Read,
    form: &Form,
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
        if !take(form.line(number, text).map_err(wrong)?) {
            break;
        }
    }
    Ok(())
}

/// A key as the producer takes it.
pub(super) fn checked(key: &str) -> Result<Bytes, InvalidMessage> {
    match key.len() {
        0 => Err(InvalidMessage::EmptyKey),
        len if len > MessageKey::MAX_LEN => Err(InvalidMessage::LongKey { len }),
        _ => Ok(Bytes::copy_from_slice(key.as_bytes())),
    }
}

/// Why a line cannot be read.
pub(super) fn told(error: serde_json::Error) -> String {
    match error.is_eof() {
        true => format!("the JSON is cut off: {error}"),
        false => format!("this is not JSON: {error}"),
    }
}

/// Checks that a line is JSON, and takes its key out of it.
fn key(text: &[u8], field: Option<&str>) -> Result<Option<Bytes>, String> {
    let Some(field) = field else {
        return serde_json::from_slice::<IgnoredAny>(text).map(|_| None).map_err(told);
    };
    let value: Value = serde_json::from_slice(text).map_err(told)?;
    match value.get(field) {
        Some(Value::String(key)) => {
            checked(key).map(Some).map_err(|error| format!("its field {field:?}: {error}"))
        }
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
        let form = Form::Payload { key_field: key_field.map(str::to_owned) };
        let read = each(text.as_bytes(), &form, |line| {
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
            (
                "{\"id\":\"\"}",
                Some("id"),
                "line 1: its field \"id\": a message's key must not be empty",
            ),
            ("{\"id\":[]}", Some("id"), "line 1: its field \"id\" is no text and no number"),
        ] {
            let error = lines(text, key_field).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn a_star_in_a_headers_name_stands_for_anything() {
        for (pattern, name, is) in [
            ("x-retry-*", "x-retry-group", true),
            ("x-*-failed-at", "x-first-failed-at", true),
            ("x-*-failed-at", "x-failed-at", false),
            ("*", "", true),
            ("*-a*b", "x-aab", true),
            ("x-a", "x-ab", false),
            ("x-a", "x-a", true),
            ("", "", true),
            ("", "a", false),
            ("a*", "a", true),
            ("**a**", "bab", true),
            ("*ab", "aab", true),
            ("*a*a", "a", false),
            ("a*b*c", "a-b-c-b", false),
            ("a*b*c", "a-b-c-b-c", true),
            ("*b", "*a", false),
        ] {
            assert_eq!(matches(pattern, name.as_bytes()), is, "{pattern} {name}");
        }
    }

    /// Tried star by star this takes longer than anybody waits.
    #[test]
    fn many_stars_in_a_headers_name_take_no_longer_than_a_few() {
        let name = "a".repeat(10_000);
        assert!(!matches(&format!("{}b", "*a".repeat(100)), name.as_bytes()));
        assert!(matches(&"*a".repeat(100), name.as_bytes()));
    }

    #[test]
    fn a_file_that_changes_after_it_was_looked_at_is_told() {
        let form = Form::Payload { key_field: None };
        for (before, after) in [("1\n2\n", "1\n"), ("1\n2\n", "1\n3\n"), ("1\n", "1\n2\n")] {
            let path = std::env::temp_dir().join(format!("tidings-{}", uuid::Uuid::now_v7()));
            std::fs::write(&path, before).unwrap();
            let input = Input::open(Some(&path), &form).unwrap();
            assert_eq!(input.lines(), Some(before.lines().count() as u64));
            std::fs::write(&path, after).unwrap();
            let mut lines = input.read(form.clone()).unwrap();
            let mut last = None;
            while let Some(line) = lines.blocking_recv() {
                last = Some(line);
            }
            std::fs::remove_file(&path).unwrap();
            let error = last.and_then(Result::err).expect("an error").text;
            assert!(error.ends_with("was changed while it was sent"), "{error}");
        }
    }
}
