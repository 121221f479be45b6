//! What all clones of a producer share, and its close.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout, timeout_at};

use super::aside::Aside;
use super::attempt::SendService;
use super::budget::Budget;
use super::tracked::Tracked;
use super::turns::Turns;
use super::{DeliveryHandler, Measured, MessageId, SendCounts};
use crate::publisher::Line;
use crate::retry::{Backoff, Chance};

/// How long a close waits for answers that can only take a moment.
const GRACE: Duration = Duration::from_secs(1);

pub(super) type MetricsHook = Box<dyn Fn(&Measured<'_>) + Send + Sync>;

pub(super) struct Core {
    pub(super) line: Arc<Line>,
    pub(super) system: &'static str,
    pub(super) chance: Chance,
    pub(super) retries: u32,
    pub(super) backoff: Backoff,
    pub(super) budget: Budget,
    pub(super) turns: Arc<Turns>,
    pub(super) tracked: Tracked,
    pub(super) service: SendService,
    pub(super) handlers: Vec<Arc<dyn DeliveryHandler>>,
    pub(super) hooks: Vec<MetricsHook>,
    pub(super) aside: Aside,
    pub(super) counts: SendCounts,
    /// Messages that have not come to their end.
    pub(super) open: AtomicUsize,
    /// There is none any more.
    pub(super) idle: Notify,
    pub(super) closed: AtomicBool,
    pub(super) left: Mutex<Vec<MessageId>>,
    pub(super) phase: watch::Sender<Phase>,
}

/// How far a close has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Messages are sent, also while a close waits for them.
    Open,
    /// What is not queued at the transport is given up.
    Cut,
    /// Everything is.
    Abandoned,
}

impl Core {
    /// Takes nothing more, sends what it has, and after `within` gives up on the rest. Answers the ids of what was
    /// given up and is safe nowhere, by this producer and by others of the same transport.
    pub(super) async fn close(&self, within: Duration) -> Vec<MessageId> {
        if self.closed.swap(true, Ordering::SeqCst) {
            return Vec::new();
        }
        let deadline = Instant::now() + within;
        self.budget.close();
        let _ = timeout_at(deadline, self.settled()).await;
        self.phase.send_replace(Phase::Cut);
        let rest = deadline.saturating_duration_since(Instant::now());
        let others = self.line.producer.close(rest).await;
        let _ = timeout(GRACE, self.settled()).await;
        self.phase.send_replace(Phase::Abandoned);
        let _ = timeout(GRACE, self.settled()).await;
        let mut left =
            std::mem::take(&mut *self.left.lock().unwrap_or_else(PoisonError::into_inner));
        let ours: std::collections::HashSet<_> = left.iter().cloned().collect();
        left.extend(others.into_iter().filter(|id| !ours.contains(id)));
        left
    }

    async fn settled(&self) {
        loop {
            let idle = self.idle.notified();
            tokio::pin!(idle);
            // From here on no wake-up is missed.
            idle.as_mut().enable();
            if self.open.load(Ordering::SeqCst) == 0 {
                return;
            }
            idle.await;
        }
    }
}
