//! The service's own tasks, and how they end.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long they may take to finish what they are at.
const STOP: Duration = Duration::from_secs(15);

/// Tasks beside the consumer. Dropped, they end at once.
#[derive(Debug)]
pub struct Background {
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
}

impl Background {
    pub(super) fn new() -> Self {
        Self { tasks: JoinSet::new(), stop: watch::Sender::new(false) }
    }

    pub(super) fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Hears when no more is to be begun.
    pub(super) fn stopping(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// Lets them finish what they are at, within a bound. What is left is done after the next start.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        if timeout(STOP, async { while self.tasks.join_next().await.is_some() {} }).await.is_err() {
            tracing::warn!("mails were still on their way to SMTP; they are sent again");
        }
    }
}
