//! Several workers of one process.

use std::time::Duration;

use super::running::{RunningWorker, Worker, WorkerStatus};
use crate::consumer::{StartError, StopReport};
use crate::error::debug_as_told;

debug_as_told!(WorkersError);

/// Workers that start and stop together.
#[derive(Default)]
pub struct Workers(Vec<Worker>);

/// Why workers did not start.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum WorkersError {
    /// Two of them could not be told apart.
    #[error(
        "two workers are named {0:?}; give one another name, and the group that it has to stay in with `.group(…)`"
    )]
    Twice(String),
    /// One did not start; those that had are stopped.
    #[error("worker {worker:?} did not start")]
    Start {
        /// Its name.
        worker: String,
        /// Why.
        source: StartError,
    },
}

impl Workers {
    /// No worker yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a worker.
    #[must_use]
    pub fn worker(mut self, worker: Worker) -> Self {
        self.0.push(worker);
        self
    }

    /// Starts all of them.
    ///
    /// # Errors
    /// When two have one name, or one does not start: then none runs.
    pub async fn start(self) -> Result<RunningWorkers, WorkersError> {
        for (at, worker) in self.0.iter().enumerate() {
            if self.0[..at].iter().any(|other| other.name() == worker.name()) {
                return Err(WorkersError::Twice(worker.name().into()));
            }
        }
        let mut running = RunningWorkers(Vec::new());
        for worker in self.0 {
            let name = worker.name().to_owned();
            match worker.start().await {
                Ok(worker) => running.0.push(worker),
                Err(source) => {
                    // Nothing of it is reported: it had only begun.
                    let _ = running.stop(Duration::from_secs(5)).await;
                    return Err(WorkersError::Start { worker: name, source });
                }
            }
        }
        Ok(running)
    }
}

/// Workers that run.
pub struct RunningWorkers(Vec<RunningWorker>);

impl RunningWorkers {
    /// What each is doing, in the order in which they were added.
    pub fn statuses(&self) -> Vec<WorkerStatus> {
        self.0.iter().map(|worker| worker.status().clone()).collect()
    }

    /// Why not all are ready; empty when they are.
    pub fn problems(&self) -> Vec<String> {
        let each = self.0.iter().map(RunningWorker::status);
        each.flat_map(|status| {
            let named = |problem| format!("worker {:?}: {problem}", status.name());
            status.problems().into_iter().map(named).collect::<Vec<_>>()
        })
        .collect()
    }

    /// Whether all do what they should.
    pub fn is_ready(&self) -> bool {
        self.0.iter().all(|worker| worker.status().is_ready())
    }

    /// Waits until one of them ends by itself.
    pub async fn ended(&mut self) {
        if self.0.is_empty() {
            return std::future::pending().await;
        }
        let all = self.0.iter_mut().map(|worker| Box::pin(worker.ended()));
        futures::future::select_all(all).await;
    }

    /// Stops all at once, each within `drain`; answers how, by name.
    pub async fn stop(self, drain: Duration) -> Vec<(String, StopReport)> {
        let stop = |worker: RunningWorker| async move {
            let name = worker.status().name().to_owned();
            (name, worker.stop(drain).await)
        };
        futures::future::join_all(self.0.into_iter().map(stop)).await
    }
}
