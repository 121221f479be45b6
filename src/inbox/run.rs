//! A handler's transaction from its beginning to its end, for a consumer that does not know the store.

use std::any::TypeId;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::settings::Inbox;
use super::tx::Held;
use crate::codec::envelope;
use crate::event::{Flow, simple_type_name};
use crate::mapper::Events;
use crate::outbox::AppendError;
use crate::store::{Claim, InboxTables, OutboxTables, Standing, StoreError, Turn};
use crate::transport::TopicPartition;

/// Where a group stands in a partition: the next offset to read.
pub(crate) type Stored = (TopicPartition, i64);

/// An inbox of some store.
#[async_trait]
pub(crate) trait Transact: Send + Sync {
    /// The store's type, and its name.
    fn store(&self) -> (TypeId, &'static str);

    fn window(&self) -> Duration;

    /// Whether offsets are stored too.
    fn keeps_offsets(&self) -> bool;

    async fn check(&self) -> Result<(), StoreError>;

    async fn turn(&self) -> Turn;

    /// Opens a transaction and claims an event in it, for a handler that may take so long; `None` where
    /// it was handled already.
    async fn begin(
        &self,
        turn: Turn,
        claim: &Claim<'_>,
        within: Duration,
    ) -> Result<Option<Arc<Held>>, StoreError>;

    /// Stores what follows from the event, and where its group stands, and commits.
    async fn finish(
        &self,
        held: &Held,
        claim: &Claim<'_>,
        events: &Events,
        offset: Option<Stored>,
    ) -> Result<(), Unfinished>;

    /// Takes it back, where it is still there.
    async fn roll_back(&self, held: &Held) -> Result<(), StoreError>;

    async fn purge(&self, group: &str, most: u32) -> Result<u64, StoreError>;

    async fn offsets(&self, group: &str) -> Result<Vec<Stored>, StoreError>;

    async fn store_offsets(&self, group: &str, offsets: &[Stored]) -> Result<(), StoreError>;
}

/// Why nothing of a handler was committed that had succeeded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unfinished {
    #[error(
        "the handler has ended and something still has its `Tx`; a task that it spawns must not keep it"
    )]
    Kept,
    #[error(
        "the handler succeeded though a statement of its transaction had failed, or though it had \
         ended it; answer the error, or set a savepoint around what may fail"
    )]
    Aborted,
    #[error(
        "the handler has committed its transaction itself: what it wrote before that is there, and is \
         never done again; the events that it answered are not stored. Take the COMMIT out of it: it is \
         committed when the handler has succeeded"
    )]
    Committed,
    #[error(
        "a request that was sent within the handler's transaction has failed, and the handler \
         succeeded all the same; what the request wrote is not committed: answer its error"
    )]
    Spoilt,
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[async_trait]
impl<S: OutboxTables + InboxTables> Transact for Inbox<S> {
    fn store(&self) -> (TypeId, &'static str) {
        (TypeId::of::<S>(), simple_type_name::<S>())
    }

    fn window(&self) -> Duration {
        self.window
    }

    fn keeps_offsets(&self) -> bool {
        self.offsets
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.outbox.store().check().await
    }

    async fn turn(&self) -> Turn {
        self.outbox.store().turn().await
    }

    async fn begin(
        &self,
        turn: Turn,
        claim: &Claim<'_>,
        within: Duration,
    ) -> Result<Option<Arc<Held>>, StoreError> {
        let store = self.outbox.store();
        let mut transaction = store.open().await?;
        if store.claim(&mut transaction, claim, within).await? {
            return Ok(Some(Arc::new(Held::new::<S>(transaction, turn))));
        }
        store.roll_back(transaction).await?;
        Ok(None)
    }

    async fn finish(
        &self,
        held: &Held,
        claim: &Claim<'_>,
        events: &Events,
        offset: Option<Stored>,
    ) -> Result<(), Unfinished> {
        let store = self.outbox.store();
        let mut transaction = held.end::<S>().ok_or(Unfinished::Kept)?;
        let filled = match held.is_spoilt() {
            true => Err(Unfinished::Spoilt),
            false => self.fill(&mut transaction, claim, events, offset).await,
        };
        match filled {
            Ok(()) => Ok(store.commit(transaction).await?),
            Err(error) => {
                // What fails here the database does by itself, once it finds out that nobody is there.
                let _ = store.roll_back(transaction).await;
                Err(error)
            }
        }
    }

    async fn roll_back(&self, held: &Held) -> Result<(), StoreError> {
        match held.end::<S>() {
            Some(transaction) => self.outbox.store().roll_back(transaction).await,
            None => Ok(()),
        }
    }

    async fn purge(&self, group: &str, most: u32) -> Result<u64, StoreError> {
        self.outbox.store().purge(group, self.window, most).await
    }

    async fn offsets(&self, group: &str) -> Result<Vec<Stored>, StoreError> {
        self.outbox.store().offsets(group).await
    }

    async fn store_offsets(&self, group: &str, offsets: &[Stored]) -> Result<(), StoreError> {
        let store = self.outbox.store();
        let _turn = store.turn().await;
        let mut transaction = store.open().await?;
        for (partition, next) in offsets {
            store.store_offset(&mut transaction, group, partition, *next).await?;
        }
        store.commit(transaction).await
    }
}

impl<S: OutboxTables + InboxTables> Inbox<S> {
    /// Stores what is committed with the handler's writes.
    async fn fill(
        &self,
        transaction: &mut S::Transaction,
        claim: &Claim<'_>,
        events: &Events,
        offset: Option<Stored>,
    ) -> Result<(), Unfinished> {
        let store = self.outbox.store();
        match store.standing(transaction, claim).await? {
            Standing::Open => {}
            Standing::Lost => return Err(Unfinished::Aborted),
            Standing::Committed => return Err(Unfinished::Committed),
        }
        if !events.is_empty() {
            let flow = Flow::current();
            let (source, format) = (self.outbox.source(), self.outbox.format());
            let envelopes = events.iter().map(|event| envelope(event, source, format, &flow));
            let envelopes = envelopes.collect::<Result<_, _>>().map_err(AppendError::from)?;
            self.outbox.append(transaction, envelopes).await?;
        }
        // Last, for whoever else moves this partition's offset waits from here on for the commit.
        if let Some((partition, next)) = offset {
            store.store_offset(transaction, claim.group, &partition, next).await?;
        }
        Ok(())
    }
}
