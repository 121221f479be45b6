//! A record as the kit keeps it: its attributes are read once and asked for often.

use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::codec::cloudevents::{self, Incoming, Malformed, Place};
use crate::event::{Envelope, IntegrationEvent, Metadata, PartitionKey, TopicName, header};
use crate::transport::Received;

/// The characters of an id that a story shows: the last ones, for the first are its time.
const SHOWN: usize = 6;

/// A record that readers could see.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) record: Arc<Received>,
    pub(super) said: Result<Incoming, Malformed>,
    /// What a consumer reads there: on a retry topic the event keeps the time of its first record.
    pub(super) taken_for: OnceLock<Metadata>,
}

impl Seen {
    pub(super) fn new(record: Arc<Received>) -> Self {
        let place = Place {
            topic: record.topic.as_str(),
            partition: record.partition,
            offset: record.offset,
            timestamp: record.timestamp.map(|timestamp| timestamp.millis()),
        };
        let said = cloudevents::read(&record.headers, record.payload.clone(), place);
        Self { record, said, taken_for: OnceLock::new() }
    }

    pub(super) fn metadata(&self) -> Option<&Metadata> {
        self.said.as_ref().ok().map(|incoming| &incoming.metadata)
    }

    /// A header of ours, as text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.record.headers.get_str(name)
    }

    /// Whether it lies on a main topic of `E`.
    pub(super) fn is_on_main<E: IntegrationEvent>(&self) -> bool {
        E::topics().contains(&self.record.topic)
    }

    /// The main topic of `E` where it lies or, on a retry or dead-letter topic, first lay.
    fn main_topic<E: IntegrationEvent>(&self) -> Option<TopicName> {
        let here = self.record.topic.as_str();
        let mains = E::topics();
        let at = |name: &str| mains.iter().find(|main| main.as_str() == name).cloned();
        at(here).or_else(|| at(self.header(header::ORIGIN_TOPIC)?))
    }

    /// The event, if it is an `E`; an error where it says so and cannot be read as one.
    pub(super) fn event<E: IntegrationEvent>(&self) -> Option<Result<Envelope<E>, String>> {
        let topic = self.main_topic::<E>()?;
        let Incoming { metadata, payload, format, plain } = self.said.as_ref().ok()?;
        let named = &*metadata.event_type == E::NAME && metadata.version == E::VERSION;
        if !named && !plain {
            return None;
        }
        let Some(format) = format else {
            return named.then(|| Err("its content type is not known".to_owned()));
        };
        let event = match format.decode(payload.as_deref().unwrap_or_default()) {
            Ok(event) => event,
            // A plain payload never said what it is.
            Err(_) if *plain => return None,
            Err(error) => return Some(Err(crate::error::chain(&error))),
        };
        let mut metadata = self.taken_for.get().unwrap_or(metadata).clone();
        if *plain {
            metadata.event_type = E::NAME.into();
            metadata.version = E::VERSION;
        }
        let key = self.record.key.as_deref().and_then(|key| std::str::from_utf8(key).ok());
        let key = key.and_then(|key| PartitionKey::new(key).ok());
        Some(Ok(Envelope { metadata, topic, key, event }))
    }

    /// Whether another record says of itself that it was made of this one: where it was first read
    /// is here, or, where this one was moved itself, where this one was.
    pub(super) fn is_copied_by(&self, copy: &Self) -> bool {
        let Received { topic, partition, offset, .. } = &*self.record;
        let here = [topic.to_string(), partition.to_string(), offset.to_string()];
        let names = [header::ORIGIN_TOPIC, header::ORIGIN_PARTITION, header::ORIGIN_OFFSET];
        let origin = names.map(|name| copy.header(name));
        origin == here.each_ref().map(|text| Some(text.as_str()))
            || origin[0].is_some() && origin == names.map(|name| self.header(name))
    }

    /// Where it lies: `topic/partition@offset`.
    pub(super) fn place(&self) -> String {
        let Received { topic, partition, offset, .. } = &*self.record;
        format!("{topic}/{partition}@{offset}")
    }

    /// The event's name and the end of its id; `name` is what the consumer took a plain record for.
    pub(super) fn title(&self, name: Option<&str>) -> String {
        match &self.said {
            Err(_) => "an unreadable record".to_owned(),
            Ok(Incoming { plain: true, .. }) => match name {
                Some(name) => format!("{name} (plain)"),
                None => "a plain record".to_owned(),
            },
            Ok(incoming) => {
                let Metadata { event_type, version, id, .. } = &incoming.metadata;
                let version = if *version == 1 { String::new() } else { format!(" v{version}") };
                format!("{event_type}{version} {}", Short(&id.to_string()))
            }
        }
    }

    /// Its key, as text.
    pub(super) fn key(&self) -> String {
        match &self.record.key {
            None => "no key".to_owned(),
            Some(key) => format!("key {}", String::from_utf8_lossy(key)),
        }
    }
}

/// The end of an id.
pub(super) struct Short<'a>(pub(super) &'a str);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.chars().count();
        if count <= SHOWN + 2 {
            return f.write_str(self.0);
        }
        f.write_str("…")?;
        self.0.chars().skip(count - SHOWN).try_for_each(|c| f.write_fmt(format_args!("{c}")))
    }
}
