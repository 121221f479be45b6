//! Transactions: records and offsets that become visible together.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::broker::{MemberId, Refusal, Shared, State, TransactionOf};
use super::config::MemoryConfig;
use super::killed::{Killed, killed};
use super::producer::{MemoryProducer, lock};
use crate::clock::BrokerClock;
use crate::error::ErrorClass;
use crate::transport::{
    GroupMember, Offsets, Producer, Receipt, Record, TransactionError, Transactions, TransportError,
};

/// How long a call waits for the broker.
const WAIT: Duration = Duration::from_secs(30);

pub(super) struct MemoryTransactions {
    shared: Arc<Shared>,
    client: u64,
    id: String,
    killed: Killed,
    producer: MemoryProducer,
    progress: Mutex<Progress>,
}

/// A member as the broker knows it.
pub(super) struct MemberOf {
    pub(super) group: String,
    pub(super) id: MemberId,
}

#[derive(Debug, Clone, Default)]
struct Progress {
    of: Option<TransactionOf>,
    open: bool,
    /// What failed in the open transaction.
    failed: Option<String>,
    /// Failed records when the transaction began.
    failed_before: usize,
}

impl MemoryTransactions {
    pub(super) fn new(
        shared: Arc<Shared>,
        client: u64,
        id: &str,
        config: &MemoryConfig,
        clock: BrokerClock,
        killed: Killed,
    ) -> Self {
        let producer = MemoryProducer::new(shared.clone(), client, config, clock, killed.clone());
        Self { shared, client, id: id.to_owned(), killed, producer, progress: Mutex::default() }
    }

    /// Ends at once: what is queued is never sent, and the transaction is left as it is.
    pub(super) fn kill(&self) {
        self.producer.kill();
    }

    async fn call<T>(
        &self,
        act: impl FnOnce(&mut State, Instant) -> Result<T, Refusal>,
    ) -> Result<T, TransactionError> {
        self.shared.travel().await;
        if !self.shared.reach(self.client, Instant::now() + WAIT).await {
            return Err(TransportError {
                what: format!("the broker did not answer within {WAIT:?}"),
                class: ErrorClass::Retriable,
                source: None,
            }
            .into());
        }
        let answer = self.shared.update(|state, now| {
            self.killed.check()?;
            act(state, now)
        });
        answer.map_err(|refusal| self.error(&refusal))
    }

    fn error(&self, refusal: &Refusal) -> TransactionError {
        match refusal {
            Refusal::Fenced => TransactionError::Fenced { id: self.id.clone() },
            Refusal::Killed => killed("transaction").into(),
            other => TransactionError::MustAbort { reason: other.to_string() },
        }
    }

    /// The open transaction.
    fn open(&self, called: &'static str) -> Result<TransactionOf, TransactionError> {
        let progress = lock(&self.progress);
        match &progress.of {
            Some(of) if progress.open => Ok(of.clone()),
            _ => Err(TransactionError::OutOfTurn { called, state: "no transaction is open" }),
        }
    }

    fn close(&self) {
        let mut progress = lock(&self.progress);
        progress.open = false;
        progress.failed = None;
    }

    fn fail(&self, reason: String) -> TransactionError {
        lock(&self.progress).failed = Some(reason.clone());
        TransactionError::MustAbort { reason }
    }
}

#[async_trait]
impl Transactions for MemoryTransactions {
    async fn begin(&self) -> Result<(), TransactionError> {
        let Progress { of, open, .. } = lock(&self.progress).clone();
        if open {
            return Err(TransactionError::OutOfTurn {
                called: "begin",
                state: "a transaction is open",
            });
        }
        let of = match of {
            Some(of) => of,
            None => {
                let producer = self.producer.id();
                let id = self.id.clone();
                self.call(move |state, now| {
                    let epoch = state.take_over(&id, producer, now);
                    Ok(TransactionOf { id, epoch, producer })
                })
                .await?
            }
        };
        let begun = of.clone();
        self.call(|state, now| state.begin_transaction(&begun, now)).await?;
        self.producer.within(Some(of.clone()));
        let failed_before = self.producer.failed();
        *lock(&self.progress) = Progress { of: Some(of), open: true, failed: None, failed_before };
        Ok(())
    }

    fn enqueue(&self, record: &Record, receipt: Receipt) -> Result<(), Receipt> {
        self.producer.enqueue(record, receipt)
    }

    async fn add_offsets(
        &self,
        member: &GroupMember,
        offsets: Offsets,
    ) -> Result<(), TransactionError> {
        let of = self.open("add_offsets")?;
        let Some(MemberOf { group, id }) = member.as_ref() else {
            return Err(self.fail("the member belongs to another transport".to_owned()));
        };
        let (group, id) = (group.clone(), *id);
        let added = self.call(move |state, _| state.add_offsets(&of, &group, id, offsets)).await;
        added.map_err(|error| match error {
            TransactionError::MustAbort { reason } => self.fail(reason),
            other => other,
        })
    }

    async fn commit(&self) -> Result<(), TransactionError> {
        let of = self.open("commit")?;
        self.producer.idle().await;
        if self.killed.is_set() {
            return Err(killed("commit").into());
        }
        let Progress { failed, failed_before, .. } = lock(&self.progress).clone();
        if let Some(reason) = failed {
            return Err(TransactionError::MustAbort { reason });
        }
        if self.producer.failed() > failed_before {
            return Err(self.fail("a record of it was not stored".to_owned()));
        }
        self.call(move |state, now| state.end_transaction(&of, true, now)).await?;
        self.close();
        Ok(())
    }

    async fn abort(&self) -> Result<(), TransactionError> {
        let of = self.open("abort")?;
        self.producer.idle().await;
        self.call(move |state, now| state.end_transaction(&of, false, now)).await?;
        self.close();
        Ok(())
    }
}
