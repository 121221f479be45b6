//! From what a request raised to envelopes that can be published or stored.

use std::fmt;

use super::{EventMapper, Events, MapError};
use crate::codec::{AnyIntegrationEvent, Format};
use crate::event::{DomainEvent, Envelope, Flow, Metadata, Source};

/// Something that happened, as a handler said it.
#[non_exhaustive]
pub enum Raised {
    /// A domain event, still to be mapped.
    Domain(Box<dyn DomainEvent>),
    /// An integration event, as it is to be published.
    Integration(Box<dyn AnyIntegrationEvent>),
}

impl Raised {
    /// The event's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Domain(event) => event.name(),
            Self::Integration(event) => event.name(),
        }
    }
}

impl fmt::Debug for Raised {
    /// The name only: events hold people's data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl EventMapper {
    /// Maps what was raised and wraps it: metadata of `source` and `flow`, topic, key and payload, in
    /// order. Nothing is published.
    ///
    /// # Errors
    /// When one of them has no mapping, no usable key, or cannot be encoded: then there are none at all.
    pub fn envelopes(
        &self,
        raised: &[Raised],
        source: &Source,
        format: Format,
        flow: &Flow,
    ) -> Result<Vec<Envelope>, MapError> {
        let mut envelopes = Vec::with_capacity(raised.len());
        let mut mapped = Events::none();
        for raised in raised {
            match raised {
                Raised::Integration(event) => {
                    envelopes.push(envelope(&**event, source, format, flow)?)
                }
                Raised::Domain(event) => {
                    self.map_into(&**event, &mut mapped)?;
                    for event in mapped.drain() {
                        envelopes.push(envelope(&*event, source, format, flow)?);
                    }
                }
            }
        }
        Ok(envelopes)
    }
}

fn envelope(
    event: &dyn AnyIntegrationEvent,
    source: &Source,
    format: Format,
    flow: &Flow,
) -> Result<Envelope, MapError> {
    let name = event.name();
    let mut metadata = Metadata::named(name, event.version(), source.clone(), flow);
    metadata.subject = event.subject();
    Ok(Envelope {
        metadata,
        topic: event.topic(),
        key: event.partition_key().map_err(|source| MapError::Key { event: name, source })?,
        event: event.encode(format).map_err(|source| MapError::Encode { event: name, source })?,
    })
}
