//! A worker, and one that runs.

use std::sync::Arc;
use std::time::Duration;

use super::builder::WorkerBuilder;
use super::rate::Rate;
use crate::consumer::{Consumer, ConsumerStatus, RunningConsumer, StartError, StopReport};
use crate::transport::{Admin, TransportError, lag_of};

/// Reads a topic, works on each input, and publishes what follows from it; built and checked, ready to start.
///
/// It is a [`Consumer`], which it can be turned into: order, retries, dead letters, quarantine, commits and drain
/// are the consumer's.
pub struct Worker {
    name: Arc<str>,
    consumer: Consumer,
    admin: Arc<dyn Admin>,
}

impl Worker {
    /// A worker of this name, which is its consumer group's name too unless another is given.
    pub fn builder(name: impl Into<String>) -> WorkerBuilder {
        WorkerBuilder::new(name.into())
    }

    pub(super) fn new(name: String, consumer: Consumer, admin: Arc<dyn Admin>) -> Self {
        Self { name: name.into(), consumer, admin }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The consumer that it is.
    pub fn consumer(&self) -> &Consumer {
        &self.consumer
    }

    /// Looks at the topics and starts; as [`Consumer::start`].
    ///
    /// # Errors
    /// When a topic is missing or wrong, or the broker refuses or stays away.
    pub async fn start(self) -> Result<RunningWorker, StartError> {
        let Self { name, consumer, admin } = self;
        let topics = consumer.topics_read();
        let running = consumer.start().await?;
        let status = WorkerStatus(Arc::new(Status {
            name,
            consumer: running.status().clone(),
            topics,
            admin,
            rate: Rate::new(),
        }));
        Ok(RunningWorker { running, status })
    }

    /// Starts, runs until `shutdown` is ready, and stops within `drain`.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn run(
        self,
        shutdown: impl Future<Output = ()>,
        drain: Duration,
    ) -> Result<StopReport, StartError> {
        self.consumer.run(shutdown, drain).await
    }
}

impl From<Worker> for Consumer {
    fn from(worker: Worker) -> Self {
        worker.consumer
    }
}

/// A worker that runs. Dropping it ends it at once, as a crash would; [`stop`](Self::stop) is the way.
pub struct RunningWorker {
    running: RunningConsumer,
    status: WorkerStatus,
}

impl RunningWorker {
    /// What it has done and whether it is well. Cheap to clone.
    pub fn status(&self) -> &WorkerStatus {
        &self.status
    }

    /// Waits until a member ends by itself, which it does only when it cannot go on.
    pub async fn ended(&mut self) {
        self.running.ended().await;
    }

    /// Reads nothing more, finishes what has begun, up to `drain`, commits and leaves the group.
    pub async fn stop(self, drain: Duration) -> StopReport {
        self.running.stop(drain).await
    }
}

/// What a running worker is doing. Cheap to clone.
#[derive(Clone)]
pub struct WorkerStatus(Arc<Status>);

struct Status {
    name: Arc<str>,
    consumer: ConsumerStatus,
    topics: Vec<crate::event::TopicName>,
    admin: Arc<dyn Admin>,
    rate: Rate,
}

impl WorkerStatus {
    /// The worker's name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Inputs that were done since its start.
    pub fn done(&self) -> u64 {
        self.0.consumer.counts().handled()
    }

    /// Inputs that it gave up since its start: those that went to the dead letters or to quarantine, and those
    /// that were dropped since there are no dead letters.
    pub fn failed(&self) -> u64 {
        let counts = self.0.consumer.counts();
        counts.dead_lettered() + counts.quarantined() + counts.dropped()
    }

    /// Inputs that were done each second, over the last ten seconds or since the last look but one.
    pub fn rate(&self) -> f64 {
        self.0.rate.of(self.done())
    }

    /// How many records its group has not read yet of what it reads, retry topics included. Where nothing is committed
    /// yet, all that lie there count.
    ///
    /// # Errors
    /// When a broker does not answer within `within`, or denies access.
    pub async fn lag(&self, within: Duration) -> Result<u64, TransportError> {
        let Status { consumer, topics, admin, .. } = &*self.0;
        let found = lag_of(&**admin, consumer.group(), topics, within).await?;
        let lag: i64 = found.iter().map(|partition| partition.lag).sum();
        Ok(u64::try_from(lag).unwrap_or_default())
    }

    /// The consumer's health, counters and pauses.
    pub fn consumer(&self) -> &ConsumerStatus {
        &self.0.consumer
    }

    /// Why it is not ready; empty when it is.
    pub fn problems(&self) -> Vec<String> {
        self.0.consumer.problems()
    }

    /// Whether it does what it should.
    pub fn is_ready(&self) -> bool {
        self.0.consumer.is_ready()
    }
}
