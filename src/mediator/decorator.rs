//! What the decorators that take a request's events somewhere are made of.

use std::fmt;
use std::sync::Arc;

use crate::codec::Format;
use crate::event::{Envelope, Flow, Source};
use crate::mapper::{EventMapper, MapError, Raised};

/// A mediator, a mapper, and where the mapped events go. Cheap to clone.
pub(super) struct Decorator<M, T>(Arc<Inner<M, T>>);

struct Inner<M, T> {
    mediator: M,
    mapper: EventMapper,
    to: T,
}

impl<M, T> Decorator<M, T> {
    pub(super) fn new(mediator: M, mapper: EventMapper, to: T) -> Self {
        Self(Arc::new(Inner { mediator, mapper, to }))
    }

    pub(super) fn mediator(&self) -> &M {
        &self.0.mediator
    }

    /// Where the events go.
    pub(super) fn to(&self) -> &T {
        &self.0.to
    }

    /// What was raised, mapped, from the source and in the format of where it goes.
    #[cfg_attr(
        not(feature = "json"),
        allow(
            unreachable_code,
            unused_variables,
            reason = "without a format feature there is no `Format` to answer"
        )
    )]
    pub(super) fn envelopes<'a>(
        &'a self,
        raised: &[Raised],
        flow: &Flow,
        source: impl FnOnce(&'a T) -> &'a Source,
        format: impl FnOnce(&'a T) -> Format,
    ) -> Result<Vec<Envelope>, MapError> {
        let Inner { mapper, to, .. } = &*self.0;
        mapper.envelopes(raised, source(to), format(to), flow)
    }
}

impl<M, T> Clone for Decorator<M, T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<M: fmt::Debug, T> Decorator<M, T> {
    /// For `Debug` of the decorator of this name: where the events go need not be printable.
    pub(super) fn debug(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("mediator", &self.0.mediator)
            .field("mapper", &self.0.mapper)
            .finish_non_exhaustive()
    }
}
