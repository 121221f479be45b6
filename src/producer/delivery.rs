//! What becomes of messages, told to whoever wants to hear it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{MessageId, SendError};
use crate::error::ErrorClass;
use crate::event::{Headers, TopicName};
use crate::transport::{Delivered, Record};

/// Hears what becomes of each message, also of those that nobody waits for.
///
/// It is called on the task that sends the message, and the next one of its key may wait for that: short, please, and
/// nothing that blocks. A panic is logged and harms nothing. Each method does nothing by default.
pub trait DeliveryHandler: Send + Sync + 'static {
    /// The broker has acknowledged it.
    fn on_success(&self, _delivery: &DeliveryContext) {}

    /// It is given up.
    fn on_failure(&self, _delivery: &DeliveryContext, _error: &SendError) {}

    /// An attempt failed, or an open breaker refused a retry, and there will be another one.
    fn on_retry_scheduled(&self, _delivery: &DeliveryContext) {}
}

/// A message on its way. Cheap to clone.
#[derive(Debug, Clone)]
pub struct DeliveryContext {
    pub(super) id: MessageId,
    pub(super) record: Arc<Record>,
    pub(super) attempt: u32,
    pub(super) status: DeliveryStatus,
}

impl DeliveryContext {
    /// What it is known by.
    pub fn message_id(&self) -> &MessageId {
        &self.id
    }

    /// Where it goes.
    pub fn topic(&self) -> &TopicName {
        &self.record.topic
    }

    /// What keeps it in order.
    pub fn key(&self) -> Option<&Bytes> {
        self.record.key.as_ref()
    }

    /// Its value; `None` is a tombstone.
    pub fn value(&self) -> Option<&Bytes> {
        self.record.payload.as_ref()
    }

    /// All headers that it is sent with.
    pub fn headers(&self) -> &Headers {
        &self.record.headers
    }

    /// Attempts so far; 0 where it was given up before the first.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// What has become of it.
    pub fn status(&self) -> &DeliveryStatus {
        &self.status
    }
}

/// What has become of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeliveryStatus {
    /// It waits for its turn or for the broker's answer.
    Pending,
    /// The broker has acknowledged it.
    Success(Delivered),
    /// It was given up.
    Failed {
        /// What could have been done about it.
        class: ErrorClass,
        /// What went wrong last, in one line of at most 256 bytes.
        reason: Arc<str>,
        /// Where it lies among the dead letters, if it does.
        dead_letter: Option<Delivered>,
    },
    /// An attempt failed, or an open breaker refused a retry, and there will be another one.
    RetryScheduled {
        /// How long after that.
        after: Duration,
        /// What went wrong, in one line of at most 256 bytes.
        reason: Arc<str>,
    },
}

impl DeliveryStatus {
    /// Whether nothing more will become of it.
    pub fn is_settled(&self) -> bool {
        matches!(self, Self::Success(_) | Self::Failed { .. })
    }
}
