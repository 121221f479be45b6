//! Subjects of kill tests: this binary again, as a process of its own that kills itself at a step.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tidings::clock::BrokerClock;
use tidings::event::EventId;
use tidings::event::Source as ServiceName;
use tidings::store::{
    Backlog, Fetched, Hint, Holding, OrderKey, OutboxSession, OutboxStore, ParkedEvent, RowId,
    Shard, StoreError,
};
use tidings::transport::kafka::Kafka;
use tidings::transport::{
    Admin, ConsumerDefaults, Observer, Producer, Receipt, Record, Source, Step, StepKind,
    Subscription, Transport, TransportError, Unreachable,
};

/// Says where the subject dies; unset in the tests themselves.
pub const STEP: &str = "TIDINGS_TEST_OUTBOX_STEP";

/// kill -9, as nobody can catch it.
pub fn die() -> ! {
    let pid = std::process::id().to_string();
    let _ = Command::new("kill").args(["-9", &pid]).status();
    loop {
        std::thread::park();
    }
}

/// Starts this binary with the test `subject` alone, and waits until it is dead.
pub fn run_until_it_dies(subject: &str, variables: &[(&str, &str)]) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([subject, "--exact", "--nocapture"]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.envs(variables.iter().copied()).spawn().unwrap();
    let deadline = std::time::Instant::now() + crate::support::SOON;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            use std::os::unix::process::ExitStatusExt;
            assert_eq!(status.signal(), Some(9), "it dies at its step: {status}");
            return;
        }
        if std::time::Instant::now() > deadline {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("it did not come to its step within the time");
        }
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// Dies when a step is come to the `after`th time.
pub struct Fuse {
    step: String,
    left: AtomicU32,
}

impl Fuse {
    pub fn new(step: &str, after: u32) -> Arc<Self> {
        Arc::new(Self { step: step.to_owned(), left: AtomicU32::new(after) })
    }

    pub fn at(&self, step: &str) {
        if self.step == step && self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            die();
        }
    }
}

/// An outbox whose relay dies at a step.
pub struct Mortal<S>(pub S, pub Arc<Fuse>);

struct MortalSession(Box<dyn OutboxSession>, Arc<Fuse>);

#[async_trait]
impl<S: OutboxStore> OutboxStore for Mortal<S> {
    async fn begin(&self, relay: &str) -> Result<Box<dyn OutboxSession>, StoreError> {
        Ok(Box::new(MortalSession(self.0.begin(relay).await?, self.1.clone())))
    }

    async fn backlog(&self) -> Result<Backlog, StoreError> {
        self.0.backlog().await
    }

    async fn parked(&self, limit: usize) -> Result<Vec<ParkedEvent>, StoreError> {
        self.0.parked(limit).await
    }

    async fn release(&self, row: RowId) -> Result<bool, StoreError> {
        self.0.release(row).await
    }

    async fn discard(&self, row: RowId) -> Result<bool, StoreError> {
        self.0.discard(row).await
    }
}

#[async_trait]
impl OutboxSession for MortalSession {
    async fn renew(&self, lease: Duration) -> Result<Holding, StoreError> {
        self.0.renew(lease).await
    }

    async fn give_up(&self, shards: &[Shard]) -> Result<(), StoreError> {
        self.0.give_up(shards).await
    }

    async fn leave(&self) -> Result<(), StoreError> {
        self.0.leave().await
    }

    async fn parked_keys(&self, shards: &[Shard]) -> Result<Vec<OrderKey>, StoreError> {
        self.0.parked_keys(shards).await
    }

    async fn fetch(
        &self,
        shards: &[Shard],
        known: &[RowId],
        limit: usize,
    ) -> Result<Fetched, StoreError> {
        let fetched = self.0.fetch(shards, known, limit).await?;
        if !fetched.rows.is_empty() {
            self.1.at("claim");
        }
        Ok(fetched)
    }

    async fn published(
        &self,
        rows: &[(RowId, Shard)],
        keep: Duration,
    ) -> Result<Vec<Shard>, StoreError> {
        self.1.at("acknowledge");
        let marked = self.0.published(rows, keep).await;
        self.1.at("mark");
        marked
    }

    async fn park(
        &self,
        shard: Shard,
        failed: Option<(RowId, &str)>,
        behind: &[RowId],
    ) -> Result<bool, StoreError> {
        self.0.park(shard, failed, behind).await
    }

    async fn due(&self, shards: &[Shard], limit: usize) -> Result<(), StoreError> {
        self.0.due(shards, limit).await
    }

    async fn tidy(&self, limit: usize) -> Result<usize, StoreError> {
        self.0.tidy(limit).await
    }

    async fn hint(&self) -> Hint {
        self.0.hint().await
    }
}

/// A transport whose producer dies after it took some records.
pub struct MortalTransport(pub Kafka, pub Arc<Fuse>);

impl Transport for MortalTransport {
    fn service(&self) -> &ServiceName {
        self.0.service()
    }

    fn system(&self) -> &'static str {
        self.0.system()
    }

    fn producer(&self) -> Arc<dyn Producer> {
        Arc::new(MortalProducer(self.0.producer(), self.1.clone()))
    }

    fn admin(&self) -> Arc<dyn Admin> {
        self.0.admin()
    }

    fn subscribe(&self, subscription: Subscription) -> Result<Source, TransportError> {
        self.0.subscribe(subscription)
    }

    fn clock(&self) -> &BrokerClock {
        self.0.clock()
    }

    fn consumer_defaults(&self) -> ConsumerDefaults {
        self.0.consumer_defaults()
    }

    fn observer(&self) -> Option<Arc<dyn Observer>> {
        Some(self.1.clone())
    }
}

impl Observer for Fuse {
    fn saw(&self, step: &Step<'_>) {
        if let StepKind::Moved { .. } = step.what {
            self.at("moved");
        }
    }
}

struct MortalProducer(Arc<dyn Producer>, Arc<Fuse>);

#[async_trait]
impl Producer for MortalProducer {
    fn enqueue(&self, record: &Record, receipt: Receipt) -> Result<(), Receipt> {
        let taken = self.0.enqueue(record, receipt);
        self.1.at("produce");
        taken
    }

    async fn room(&self) {
        self.0.room().await;
    }

    fn send_wait(&self) -> Duration {
        self.0.send_wait()
    }

    fn delivery_wait(&self) -> Duration {
        self.0.delivery_wait()
    }

    fn reachable(&self) -> Result<(), Unreachable> {
        self.0.reachable()
    }

    async fn close(&self, within: Duration) -> Vec<EventId> {
        self.0.close(within).await
    }
}
