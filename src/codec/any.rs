//! An integration event whose type is not known where it passes.

use std::any::Any;

use bytes::Bytes;

use super::{EncodeError, Format};
use crate::event::{Encoded, IntegrationEvent, InvalidKey, PartitionKey, Subject, TopicName};

/// Any integration event, boxed: what a mapper hands on. Every [`IntegrationEvent`] is one.
pub trait AnyIntegrationEvent: Any + Send + Sync {
    /// Its name on the wire.
    fn name(&self) -> &'static str;
    /// Its contract's version.
    fn version(&self) -> u32;
    /// Where it goes.
    fn topic(&self) -> TopicName;
    /// What keeps it in order.
    ///
    /// # Errors
    /// When the field that the key is made of holds a value that no key can have.
    fn partition_key(&self) -> Result<Option<PartitionKey>, InvalidKey>;
    /// What it is about.
    fn subject(&self) -> Option<Subject>;
    /// Its payload in a format.
    ///
    /// # Errors
    /// When it cannot be said in that format.
    fn encode(&self, format: Format) -> Result<Encoded, EncodeError>;
}

impl<E: IntegrationEvent> AnyIntegrationEvent for E {
    fn name(&self) -> &'static str {
        E::NAME
    }

    fn version(&self) -> u32 {
        E::VERSION
    }

    fn topic(&self) -> TopicName {
        IntegrationEvent::topic(self)
    }

    fn partition_key(&self) -> Result<Option<PartitionKey>, InvalidKey> {
        IntegrationEvent::partition_key(self)
    }

    fn subject(&self) -> Option<Subject> {
        IntegrationEvent::subject(self)
    }

    fn encode(&self, format: Format) -> Result<Encoded, EncodeError> {
        let mut buffer = Vec::with_capacity(512);
        format.encode(self, &mut buffer)?;
        Ok(Encoded { content_type: format.content_type(), payload: Bytes::from(buffer) })
    }
}

impl dyn AnyIntegrationEvent {
    /// The event as its own type, where it is one.
    pub fn downcast_ref<E: IntegrationEvent>(&self) -> Option<&E> {
        (self as &dyn Any).downcast_ref()
    }
}
