//! Writing: what a key stands at, or that it is no more.

use std::marker::PhantomData;

use serde::Serialize;

use super::view::AnyTopic;
use crate::codec::EncodeError;
use crate::error::ErrorClass;
use crate::event::TopicName;
use crate::producer::{Message, MessageKey, Producer, SendError};
use crate::topic::{CarriedBy, StateTopic};
use crate::transport::Delivered;

/// Writes to a state topic through a [`Producer`]. Cheap to clone.
///
/// Of one producer, what is written under a key is stored in the order of the calls. A value is encoded as JSON.
///
/// What the topic does not carry is not written to it:
///
#[cfg_attr(feature = "macros", doc = "```compile_fail,E0277")]
#[cfg_attr(not(feature = "macros"), doc = "```ignore")]
/// # use tidings::state::StateWriter;
/// # fn f(producer: tidings::producer::Producer) {
/// #[derive(tidings::Topic)]
/// #[topic(kind = state, name = "profiles", carries(String))]
/// struct Profiles;
///
/// StateWriter::<Profiles, u32>::new(producer);
/// # }
/// ```
pub struct StateWriter<T, V> {
    producer: Producer,
    topic: TopicName,
    of: PhantomData<fn(&V) -> T>,
}

/// Nothing was written under a key, as far as is known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateWriteError {
    /// The value cannot be said in JSON.
    #[error("nothing was written to {topic}")]
    Value {
        /// The topic.
        topic: TopicName,
        /// Why not.
        source: EncodeError,
    },
    /// The message was not acknowledged.
    #[error("what was written to {topic} is not acknowledged")]
    Send {
        /// The topic.
        topic: TopicName,
        /// Why not.
        source: SendError,
    },
}

impl StateWriteError {
    /// What can be done about it.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Value { .. } => ErrorClass::Permanent,
            Self::Send { source, .. } => source.class(),
        }
    }

    /// Whether it may have been stored all the same.
    pub fn is_indefinite(&self) -> bool {
        matches!(self, Self::Send { source, .. } if source.is_indefinite())
    }
}

impl<T: StateTopic, V: CarriedBy<T> + Serialize> StateWriter<T, V> {
    /// Writes to a topic that is known as a type, and that carries the value.
    pub fn new(producer: Producer) -> Self {
        Self { producer, topic: T::NAME, of: PhantomData }
    }
}

impl<V: Serialize> StateWriter<AnyTopic, V> {
    /// Writes to a topic whose name is known only at run time.
    pub fn named(producer: Producer, topic: TopicName) -> Self {
        Self { producer, topic, of: PhantomData }
    }
}

impl<T, V: Serialize> StateWriter<T, V> {
    /// Says what a key stands at; `Ok` once the broker has acknowledged it. The answer is where it lies, for
    /// [`StateView::reached`](super::StateView::reached).
    ///
    /// # Errors
    /// See [`StateWriteError`]. A key is 1 byte to 32 KiB.
    pub async fn put(
        &self,
        key: impl Into<MessageKey>,
        value: &V,
    ) -> Result<Delivered, StateWriteError> {
        let message = Message::new(self.topic.clone(), value);
        let message = message
            .map_err(|source| StateWriteError::Value { topic: self.topic.clone(), source })?;
        self.send(message.key(key)).await
    }

    /// Says that a key is no more, with a tombstone; `Ok` once the broker has acknowledged it, whether the key
    /// was there or not.
    ///
    /// # Errors
    /// See [`StateWriteError`].
    pub async fn remove(&self, key: impl Into<MessageKey>) -> Result<Delivered, StateWriteError> {
        self.send(Message::tombstone(self.topic.clone(), key)).await
    }

    async fn send(&self, message: Message) -> Result<Delivered, StateWriteError> {
        let sent = self.producer.send(message).await;
        let failed = |source| StateWriteError::Send { topic: self.topic.clone(), source };
        Ok(sent.map_err(failed)?.delivered)
    }
}

impl<T, V> Clone for StateWriter<T, V> {
    fn clone(&self) -> Self {
        Self { producer: self.producer.clone(), topic: self.topic.clone(), of: PhantomData }
    }
}

impl<T, V> std::fmt::Debug for StateWriter<T, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StateWriter").field("topic", &self.topic).finish_non_exhaustive()
    }
}
