//! Forgetting handled events whose time is over, while the consumer runs.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::time::{sleep, timeout};

use super::run::Transact;
use crate::error::chain;
use crate::task;

/// Rows of one statement: few, so that it is soon over.
const BATCH: u32 = 1_000;
/// Between two of them while there are more.
const NEXT: Duration = Duration::from_millis(50);
/// How long one may take, before the database is away.
const WITHIN: Duration = Duration::from_secs(30);
/// How often it looks, at the least; a shorter window is looked at more often.
const EVERY: Duration = Duration::from_secs(60);
const TIMES_PER_WINDOW: u32 = 10;
/// When it looks for the first time, at the latest.
const FIRST: Duration = Duration::from_secs(10);
/// The shortest wait, whatever the window.
const SHORTEST: Duration = Duration::from_millis(10);

/// Runs until it is dropped.
///
/// It begins after a short wait: most of what a consumer that crashed had handled and not committed to the
/// broker is delivered again first, also where it was away for longer than the window.
pub(crate) async fn purge(inbox: Arc<dyn Transact>, group: Arc<str>) {
    let every = (inbox.window() / TIMES_PER_WINDOW).clamp(SHORTEST, EVERY);
    let mut wait = every.min(FIRST);
    loop {
        sleep(wait).await;
        wait = match batch(&*inbox, &group).await {
            Ok(purged) if purged >= u64::from(BATCH) => NEXT.min(every),
            Ok(_) => every,
            Err(error) => {
                tracing::warn!(error, %group, "the inbox was not purged; it is tried again");
                every
            }
        };
    }
}

/// One batch; what a store panics with is no end of it either, for nobody would hear of that.
async fn batch(inbox: &dyn Transact, group: &str) -> Result<u64, String> {
    let purged = AssertUnwindSafe(async { inbox.purge(group, BATCH).await }).catch_unwind();
    match timeout(WITHIN, purged).await {
        Ok(Ok(purged)) => purged.map_err(|error| chain(&error)),
        Ok(Err(panic)) => {
            Err(format!("it panicked: {}", task::message(&*panic).unwrap_or("(no message)")))
        }
        Err(_) => Err(format!("the database did not answer within {WITHIN:?}")),
    }
}
