//! What an envelope says about its event.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, SubsecRound, Utc};

use super::{EventId, Flow, IntegrationEvent, TraceContext};

/// Everything that travels with an event beside its payload.
#[derive(Debug, Clone, PartialEq)]
pub struct Metadata {
    /// Unique for ever; what duplicates are known by.
    pub id: EventId,
    /// The service that published it.
    pub source: Source,
    /// The integration event's name.
    pub event_type: Arc<str>,
    /// The contract's version, from 1 up.
    pub version: u32,
    /// When it happened, to the millisecond: finer than that costs a header of its own.
    pub time: DateTime<Utc>,
    /// What it is about within its source.
    pub subject: Option<Subject>,
    /// What it belongs to: the same for all that follows from one request.
    pub correlation_id: EventId,
    /// The event or request that caused it.
    pub causation_id: Option<EventId>,
    /// Whose it is, where a service serves many.
    pub tenant: Option<Tenant>,
    /// The trace it is part of.
    pub trace: Option<TraceContext>,
    /// Where the payload's schema is (`ce_dataschema`).
    pub data_schema: Option<Arc<str>>,
}

impl Metadata {
    /// The metadata of a new event: a new id, now, and of the current [`Flow`] what is set there.
    pub fn of<E: IntegrationEvent>(event: &E, source: Source) -> Self {
        let mut metadata = Self::named(E::NAME, E::VERSION, source, &Flow::current());
        metadata.subject = event.subject();
        metadata
    }

    /// The metadata of a new event known by its name.
    pub fn named(name: &str, version: u32, source: Source, flow: &Flow) -> Self {
        let id = EventId::new();
        Self {
            correlation_id: flow.correlation_id.clone().unwrap_or_else(|| id.clone()),
            causation_id: flow.causation_id.clone(),
            tenant: flow.tenant.clone(),
            trace: flow.trace.clone(),
            id,
            source,
            event_type: super::shared(name),
            version,
            time: Utc::now().trunc_subsecs(3),
            subject: None,
            data_schema: None,
        }
    }

    /// What the consequences of this event carry on: its correlation, itself as the cause.
    pub fn flow(&self) -> Flow {
        Flow {
            correlation_id: Some(self.correlation_id.clone()),
            causation_id: Some(self.id.clone()),
            tenant: self.tenant.clone(),
            trace: self.trace.clone(),
        }
    }
}

/// A text that cannot be an attribute of an event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} has 1 to {max} bytes and no control characters")]
pub struct InvalidAttribute {
    what: &'static str,
    max: usize,
}

macro_rules! attribute {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:literal, $kept:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks the text.
            ///
            /// # Errors
            /// When it is empty, too long, or holds control characters.
            pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidAttribute> {
                let text = text.as_ref();
                if text.is_empty() || text.len() > $max || text.chars().any(char::is_control) {
                    return Err(InvalidAttribute { what: $what, max: $max });
                }
                Ok(Self($kept(text)))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

attribute!(
    /// The service that published an event (`ce_source`): 1 to 255 bytes.
    Source, "a source", 255, super::shared
);
attribute!(
    /// What an event is about within its source (`ce_subject`): 1 to 1,024 bytes.
    Subject, "a subject", 1024, Arc::from
);
attribute!(
    /// Whose event it is, where a service serves many (`ce_tenantid`): 1 to 255 bytes.
    Tenant, "a tenant", 255, super::shared
);
