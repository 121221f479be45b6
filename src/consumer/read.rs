//! From a record to who handles it. Header values are data from strangers.

use std::sync::Arc;

use super::batch::BatchRecord;
use super::delivery::ReceivedEvent;
use super::forward::Origin;
use super::handler::{Reads, Registered};
use super::plan::{Place, Route};
use super::settings::Tombstones;
use crate::codec::cloudevents;
use crate::event::header;
use crate::retry::UnknownType;
use crate::transport::Received;

/// What is to be done with a record.
pub(super) enum Reading<'a> {
    /// These handlers run.
    Run { event: Arc<ReceivedEvent>, handlers: &'a [Arc<Registered>], past: Past },
    /// Not for us.
    Skip,
    /// For nobody: a consumer had asked the broker for the time.
    AskedTheTime,
    /// Nobody here can handle it: to the dead letters, for whoever it was meant for.
    DeadLetter { reason: String, handler: Option<String>, past: Past },
    /// It cannot be read: to quarantine.
    Quarantine { reason: String },
    /// It must not be passed over: the consumer ends.
    Fail { reason: String },
}

/// What has failed so far: nothing on a main topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Past {
    /// Deliveries to the handler.
    pub(super) deliveries: u32,
    /// Calls of the handler, of which a delivery has one or more.
    pub(super) calls: u32,
}

/// The policies that reading needs.
#[derive(Debug, Clone)]
pub(super) struct Policies {
    pub(super) group: Arc<str>,
    pub(super) unknown: UnknownType,
    pub(super) tombstones: Tombstones,
}

impl Policies {
    pub(super) fn read<'a>(&self, place: &'a Place, record: &BatchRecord) -> Reading<'a> {
        let quarantine = |reason: String| Reading::Quarantine { reason };
        for (name, _) in record.headers.iter() {
            // Without a way out of the loop, for many bytes are looked at in one step.
            let plain = name.iter().fold(true, |plain, byte| plain & matches!(byte, 0x01..=0x7f));
            let legal = plain || !name.contains(&0) && std::str::from_utf8(name).is_ok();
            if name.is_empty() || !legal {
                return quarantine("a header's name is empty, holds a NUL, or is not UTF-8".into());
            }
        }
        let on_tier = place.tier.is_some();
        let address = match self.address(place, record) {
            Ok(address) => address,
            Err(reading) => return reading,
        };
        let origin = Origin::of(record, on_tier);
        let read = cloudevents::read(&record.headers, record.payload.clone(), origin.place());
        let read = read.or_else(|malformed| match place.main.takes_raw() {
            true => cloudevents::as_placed(record.payload.clone(), origin.place()),
            false => Err(malformed),
        });
        let incoming = match read {
            Ok(incoming) => incoming,
            Err(malformed) => return quarantine(malformed.to_string()),
        };
        if incoming.payload.is_none() {
            match self.tombstones {
                Tombstones::Ignore => return Reading::Skip,
                Tombstones::Quarantine if place.main.takes_raw() => {}
                Tombstones::Quarantine => {
                    return quarantine("it is a tombstone (no payload)".into());
                }
            }
        }
        let mut incoming = incoming;
        let metadata = &mut incoming.metadata;
        let handlers = match place.main.only() {
            Some(Route { reads: Reads::Event { name, version }, handlers }) if incoming.plain => {
                metadata.event_type = (*name).into();
                metadata.version = *version;
                Some(&**handlers)
            }
            Some(Route { reads: Reads::Everything { .. }, handlers }) => Some(&**handlers),
            _ => place.main.handlers(&metadata.event_type, metadata.version),
        };
        let Some(handlers) = handlers else { return self.unknown(&incoming.metadata, address) };
        if handlers.is_empty() && address.is_none() {
            return Reading::Skip;
        }
        let (handlers, past) = match address {
            None => (handlers, Past::default()),
            Some(Address { handler, past }) => {
                match handlers.iter().find(|registered| *registered.name == handler) {
                    Some(registered) => (std::slice::from_ref(registered), past),
                    None => {
                        let reason =
                            format!("there is no handler {handler:?} any more; was it renamed?");
                        return Reading::DeadLetter { reason, handler: Some(handler), past };
                    }
                }
            }
        };
        let event = Arc::new(ReceivedEvent { record: record.clone(), incoming });
        Reading::Run { event, handlers, past }
    }

    /// Whom a record on a tier is for. On a main topic it is for everybody, whatever it says.
    fn address(
        &self,
        place: &Place,
        record: &Received,
    ) -> Result<Option<Address>, Reading<'static>> {
        let Some(tier) = place.tier else { return Ok(None) };
        let quarantine = |what: &str| Reading::Quarantine {
            reason: format!("it lies on a retry topic and {what}"),
        };
        let group = record.headers.get_str(header::RETRY_GROUP);
        let Some(group) = group else { return Err(quarantine("says no group")) };
        if group.is_empty() {
            return Err(Reading::AskedTheTime);
        }
        if group != &*self.group {
            return Err(Reading::Skip);
        }
        let handler = record.headers.get_str(header::RETRY_HANDLER);
        let Some(handler) = handler else { return Err(quarantine("says no handler")) };
        // The tier itself proves so many failures: a record that says less cannot go round for ever.
        let proven = u32::try_from(tier).unwrap_or(u32::MAX).saturating_add(1);
        let said = |name| record.headers.get_str(name).and_then(|text| text.parse().ok());
        // The bounds grow with the tier, so that both rise from there too.
        let most = MAX_FAILURES.saturating_add(proven);
        let deliveries = said(header::RETRY_ATTEMPT).unwrap_or(0).max(proven).min(most);
        let most = MAX_CALLS.saturating_mul(proven);
        let calls = said(header::RETRY_CALLS).unwrap_or(0).min(most).max(deliveries);
        Ok(Some(Address { handler: handler.to_owned(), past: Past { deliveries, calls } }))
    }

    fn unknown(
        &self,
        metadata: &crate::event::Metadata,
        address: Option<Address>,
    ) -> Reading<'static> {
        let event = &metadata.event_type;
        let reason = match &**event {
            "" => "it has no type, and this topic has more than one event".to_owned(),
            event => format!("no handler takes {event:?} in version {}", metadata.version),
        };
        match (self.unknown, address) {
            (UnknownType::Ignore, None) => Reading::Skip,
            (UnknownType::Fail, None) => Reading::Fail { reason },
            (_, address) => Reading::DeadLetter {
                reason,
                past: address.as_ref().map_or_else(Past::default, |address| address.past),
                handler: address.map(|address| address.handler),
            },
        }
    }
}

/// More failures than any policy has tiers: what a hostile header is cut to.
const MAX_FAILURES: u32 = 1_000;

/// More calls than any tier has: what a hostile header is cut to.
const MAX_CALLS: u32 = 1_000_000;

struct Address {
    handler: String,
    past: Past,
}

#[cfg(all(test, feature = "json"))]
#[path = "read_tests.rs"]
mod tests;
