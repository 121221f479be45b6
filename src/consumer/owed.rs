//! What follows from an event that was handled, and is not published yet.

use std::fmt;

use async_trait::async_trait;

use super::outcome::HandlerError;
use crate::error::chain;
use crate::event::Envelope;
use crate::publisher::{BatchFailure, Publisher};

/// What can be published later, without the handler.
#[async_trait]
pub(crate) trait Owed: Send + Sync {
    /// Publishes what is left of it, and waits until that is acknowledged.
    async fn publish(&mut self) -> Result<(), NotYet>;

    /// Tells who hears of it that it has ended so: published, or never to be.
    async fn tell(&self, ended: Result<(), &HandlerError>) {
        let _ = ended;
    }
}

/// Why not all is published.
pub(crate) enum NotYet {
    /// It may be later.
    Later(String),
    /// It can never be.
    Never(HandlerError),
}

/// What a handler's call ends with that was a success but for the publishing.
pub(super) struct Unpublished {
    pub(super) why: String,
    pub(super) owed: Box<dyn Owed>,
}

impl fmt::Debug for Unpublished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unpublished").field("why", &self.why).finish_non_exhaustive()
    }
}

impl fmt::Display for Unpublished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Unpublished {}

/// Integration events that a handler answered. They keep their ids.
pub(super) struct Answered {
    publisher: Publisher,
    left: Vec<Envelope>,
}

impl Answered {
    /// Publishes them.
    ///
    /// # Errors
    /// A permanent failure where one of them can never be published; else what is kept.
    pub(super) async fn publish(
        publisher: &Publisher,
        envelopes: Vec<Envelope>,
    ) -> Result<(), HandlerError> {
        let Err(failure) = publisher.publish_envelopes(envelopes).await else { return Ok(()) };
        let mut answered = Self { publisher: publisher.clone(), left: Vec::new() };
        Err(match answered.keep(failure) {
            NotYet::Later(why) => HandlerError::owing(why, Box::new(answered)),
            NotYet::Never(error) => error,
        })
    }

    fn keep(&mut self, failure: BatchFailure) -> NotYet {
        if failure.source.is_of_the_event() {
            return NotYet::Never(HandlerError::permanent(failure));
        }
        let why = chain(&failure);
        self.left = failure.unpublished;
        NotYet::Later(why)
    }
}

#[async_trait]
impl Owed for Answered {
    async fn publish(&mut self) -> Result<(), NotYet> {
        let left = std::mem::take(&mut self.left);
        self.publisher.publish_envelopes(left).await.map_err(|failure| self.keep(failure))
    }
}
