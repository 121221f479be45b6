//! Where a worker reads and writes, as types: what a topic does not carry does not compile.

use std::marker::PhantomData;

use crate::consumer::{InputTopics, LiesOn};
use crate::topic::Topic;
use crate::transport::TopicNeed;

/// A topic that is a type.
#[derive(Debug)]
pub struct On<T>(PhantomData<fn() -> T>);

impl<T> On<T> {
    pub(super) const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T: Topic, I: LiesOn<T>> InputTopics<I> for On<T> {
    fn needs(self) -> Vec<TopicNeed> {
        vec![T::spec().into()]
    }
}

impl<T> Clone for On<T> {
    fn clone(&self) -> Self {
        Self::new()
    }
}

/// No output topic: nothing is published, or integration events on the topics that they say themselves.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoTopic;

/// Where a worker's output goes.
pub trait OutputTopic: Send + Sync + 'static {
    /// The topic; `None` where each event says its own.
    fn need(&self) -> Option<TopicNeed>;
}

impl OutputTopic for NoTopic {
    fn need(&self) -> Option<TopicNeed> {
        None
    }
}

impl<T: Topic> OutputTopic for On<T> {
    fn need(&self) -> Option<TopicNeed> {
        Some(T::spec().into())
    }
}

/// A topic that is known at run time only.
impl OutputTopic for TopicNeed {
    fn need(&self) -> Option<TopicNeed> {
        Some(self.clone())
    }
}
