//! The journal, looked up: every record with where it came from, and every client with its group.

use std::collections::{BTreeMap, HashMap};

use super::super::super::database::Claimed;
use super::super::contract::{Contract, Duties, Role};
use super::super::journal::{Client, Entry, Place, What};
use crate::event::{TopicName, header};
use crate::transport::memory::Operation;
use crate::transport::{Received, TopicPartition};

pub(super) struct Books<'a> {
    pub(super) entries: &'a [Entry],
    pub(super) contract: &'a Contract,
    /// Every record on the broker, by its place.
    pub(super) records: BTreeMap<Place, Stored<'a>>,
    groups: HashMap<Client, &'a str>,
    members: HashMap<u64, Client>,
}

/// A record that was stored.
pub(super) struct Stored<'a> {
    /// The entry that says so.
    pub(super) at: usize,
    pub(super) record: &'a Received,
    /// The group of the client that stored it.
    pub(super) by: Option<&'a str>,
    /// A fault stored it a second time.
    pub(super) doubled: bool,
    /// Whom it is addressed to, where it failed before.
    pub(super) address: Option<Address<'a>>,
    /// It is a copy of one that failed.
    pub(super) copied: bool,
    /// Where it was first read: itself, where it is no copy.
    pub(super) origin: Place,
}

/// Whom a record is addressed to that failed before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Address<'a> {
    pub(super) group: &'a str,
    pub(super) handler: &'a str,
    /// How often it has failed.
    pub(super) attempt: u32,
}

impl<'a> Books<'a> {
    pub(super) fn new(entries: &'a [Entry], contract: &'a Contract) -> Self {
        let mut books = Self {
            entries,
            contract,
            records: BTreeMap::new(),
            groups: HashMap::new(),
            members: HashMap::new(),
        };
        for (at, entry) in entries.iter().enumerate() {
            match &entry.what {
                What::Started { group: Some(group), client, .. } => {
                    books.groups.insert(*client, group);
                }
                What::Broker(Operation::Joined { member, client, .. }) => {
                    books.members.insert(*member, *client);
                }
                What::Broker(Operation::Appended { client, record, doubled, .. }) => {
                    let by = books.groups.get(client).copied();
                    let origin = origin(record);
                    let stored = Stored {
                        at,
                        record,
                        by,
                        doubled: *doubled,
                        address: address(record),
                        copied: origin.is_some(),
                        origin: origin.unwrap_or_else(|| Place::of(record)),
                    };
                    books.records.insert(Place::of(record), stored);
                }
                _ => {}
            }
        }
        books
    }

    /// Whose member it is.
    pub(super) fn client(&self, member: u64) -> Option<Client> {
        self.members.get(&member).copied()
    }

    /// The records of a partition from one offset to before another.
    pub(super) fn between(
        &self,
        partition: &TopicPartition,
        from: i64,
        to: i64,
    ) -> impl Iterator<Item = (&Place, &Stored<'a>)> {
        let place = |offset| Place { partition: partition.clone(), offset };
        self.records.range(place(from)..place(to.max(from)))
    }

    /// The groups that read a topic.
    pub(super) fn readers(&self, topic: &TopicName) -> impl Iterator<Item = &'a Duties> {
        let topic = topic.clone();
        self.contract
            .groups()
            .filter(move |duties| matches!(duties.role(&topic), Some(Role::Main | Role::Tier(..))))
    }
}

impl Stored<'_> {
    /// What an inbox knows it by that a handler has handled.
    pub(super) fn claim(&self, group: &str, handler: &str) -> Claimed {
        let said = |name| self.record.headers.get_str(name).unwrap_or_default().to_owned();
        Claimed {
            group: group.to_owned(),
            handler: handler.to_owned(),
            source: said(header::SOURCE),
            event: said(header::ID),
        }
    }

    pub(super) fn event_type(&self) -> &str {
        self.record.headers.get_str(header::TYPE).unwrap_or_default()
    }
}

fn address(record: &Received) -> Option<Address<'_>> {
    let said = |name| record.headers.get_str(name);
    Some(Address {
        group: said(header::RETRY_GROUP)?,
        handler: said(header::RETRY_HANDLER)?,
        attempt: said(header::RETRY_ATTEMPT)?.parse().ok()?,
    })
}

fn origin(record: &Received) -> Option<Place> {
    let said = |name| record.headers.get_str(name);
    let partition = TopicPartition {
        topic: TopicName::new(said(header::ORIGIN_TOPIC)?).ok()?,
        partition: said(header::ORIGIN_PARTITION)?.parse().ok()?,
    };
    Some(Place { partition, offset: said(header::ORIGIN_OFFSET)?.parse().ok()? })
}
