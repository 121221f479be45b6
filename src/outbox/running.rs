//! A relay that runs, and how it stops.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::health::RelayStatus;
use crate::task;

/// How much longer than its deadline a stop waits for the task itself.
const GRACE: Duration = Duration::from_secs(1);

/// A relay that runs. Dropped, it ends at once; what it had sent is published again by the next one.
#[derive(Debug)]
pub struct RunningRelay {
    status: RelayStatus,
    stop: watch::Sender<Option<Instant>>,
    task: JoinHandle<RelayReport>,
}

/// What a relay left behind when it stopped. It is stored, and published by the next one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use = "a stop that was not clean is worth a line in the log"]
pub struct RelayReport {
    /// Rows that were sent and not acknowledged, or acknowledged and not marked: they will be
    /// published again.
    pub unmarked: usize,
    /// The task ended by itself, or did not end in time.
    pub failure: Option<String>,
}

impl RelayReport {
    /// Whether nothing will be published twice.
    pub fn is_clean(&self) -> bool {
        self.unmarked == 0 && self.failure.is_none()
    }
}

impl RunningRelay {
    pub(super) fn new<F>(
        status: RelayStatus,
        run: impl FnOnce(watch::Receiver<Option<Instant>>) -> F,
    ) -> Self
    where
        F: Future<Output = RelayReport> + Send + 'static,
    {
        let (stop, told) = watch::channel(None);
        let (run, ended) = (run(told), Ended(status.clone()));
        let task = tokio::spawn(task::owned(async move {
            let _ended = ended;
            run.await
        }));
        Self { status, stop, task }
    }

    /// What it is doing.
    pub fn status(&self) -> &RelayStatus {
        &self.status
    }

    /// Waits until it has ended, which it does not do unless it is stopped or panics.
    pub async fn ended(&self) {
        // The task holds the only receiver.
        self.stop.closed().await;
    }

    /// Reads nothing more, waits up to `within` for what is on its way, and gives its shards up, so
    /// that others go on at once.
    pub async fn stop(mut self, within: Duration) -> RelayReport {
        let deadline = Instant::now() + within;
        // Nobody hears it where the task has ended.
        let _ = self.stop.send(Some(deadline));
        let failed = |why: &str| RelayReport { unmarked: 0, failure: Some(why.to_owned()) };
        match tokio::time::timeout_at(deadline + GRACE, &mut self.task).await {
            Ok(Ok(report)) => report,
            Ok(Err(error)) => failed(&error.to_string()),
            Err(_) => failed("it did not end in time"),
        }
    }
}

/// Says that the relay has ended, however that came.
struct Ended(RelayStatus);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.ended();
    }
}

impl Drop for RunningRelay {
    fn drop(&mut self) {
        self.task.abort();
    }
}
