//! Transactions: records and offsets that become visible together.
//!
//! librdkafka's calls wait for the broker, so they run where waiting is allowed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::Producer as _;
use rdkafka::types::RDKafkaErrorCode as Code;

use super::errors::transport_error;
use super::offsets::offset_list;
use super::producer::{KafkaProducer, TransactionalClient};
use crate::error::ErrorClass;
use crate::transport::{
    GroupMember, Offsets, Producer, Receipt, Record, TransactionError, Transactions, TransportError,
};

/// How long one call waits for the broker.
const WAIT: Duration = Duration::from_secs(30);

pub(super) struct KafkaTransactions {
    id: String,
    producer: Arc<KafkaProducer>,
    /// Whether the broker has given it the id.
    initialised: AtomicBool,
    open: AtomicBool,
}

impl KafkaTransactions {
    pub(super) fn new(id: &str, producer: Arc<KafkaProducer>) -> Self {
        Self {
            id: id.to_owned(),
            producer,
            initialised: AtomicBool::new(false),
            open: AtomicBool::new(false),
        }
    }

    async fn call(
        &self,
        what: &'static str,
        act: impl FnOnce(&TransactionalClient) -> KafkaResult<()> + Send + 'static,
    ) -> Result<(), TransactionError> {
        let producer = self.producer.clone();
        let done = tokio::task::spawn_blocking(move || act(producer.client())).await;
        let done = done.map_err(|error| TransportError {
            what: format!("{what} was cut off"),
            class: ErrorClass::Fatal,
            source: Some(error.into()),
        })?;
        done.map_err(|error| self.error(what, error))
    }

    fn error(&self, what: &str, error: KafkaError) -> TransactionError {
        let fenced = [Code::Fenced, Code::ProducerFenced, Code::InvalidProducerEpoch, Code::Fatal];
        match &error {
            KafkaError::Transaction(cause) if fenced.contains(&cause.code()) => {
                TransactionError::Fenced { id: self.id.clone() }
            }
            KafkaError::Transaction(cause) if cause.txn_requires_abort() => {
                TransactionError::MustAbort { reason: cause.string() }
            }
            _ => transport_error(format!("{what} of transactional id {:?}", self.id), error).into(),
        }
    }

    fn is_open(&self, called: &'static str) -> Result<(), TransactionError> {
        match self.open.load(Ordering::SeqCst) {
            true => Ok(()),
            false => Err(TransactionError::OutOfTurn { called, state: "no transaction is open" }),
        }
    }
}

#[async_trait]
impl Transactions for KafkaTransactions {
    async fn begin(&self) -> Result<(), TransactionError> {
        if self.open.load(Ordering::SeqCst) {
            let state = "a transaction is open";
            return Err(TransactionError::OutOfTurn { called: "begin", state });
        }
        if !self.initialised.load(Ordering::SeqCst) {
            self.call("taking over", |client| client.init_transactions(WAIT)).await?;
            self.initialised.store(true, Ordering::SeqCst);
        }
        self.call("begin", |client| client.begin_transaction()).await?;
        self.open.store(true, Ordering::SeqCst);
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
        self.is_open("add_offsets")?;
        let Some(member) = member.as_ref::<Arc<ConsumerGroupMetadata>>().cloned() else {
            let reason = "the member belongs to another transport".to_owned();
            return Err(TransactionError::MustAbort { reason });
        };
        self.call("add_offsets", move |client| {
            client.send_offsets_to_transaction(&offset_list(&offsets), &member, WAIT)
        })
        .await
    }

    async fn commit(&self) -> Result<(), TransactionError> {
        self.is_open("commit")?;
        self.call("commit", |client| client.commit_transaction(WAIT)).await?;
        self.open.store(false, Ordering::SeqCst);
        Ok(())
    }

    async fn abort(&self) -> Result<(), TransactionError> {
        self.is_open("abort")?;
        self.call("abort", |client| client.abort_transaction(WAIT)).await?;
        self.open.store(false, Ordering::SeqCst);
        Ok(())
    }
}
