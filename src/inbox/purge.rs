//! Forgetting handled events whose time is over, while the consumer runs.

use std::sync::Arc;
use std::time::Duration;

use super::run::Transact;
use crate::error::chain;

/// Rows of one statement: few, so that it is soon over.
const BATCH: u32 = 1_000;
/// Between two of them while there are more.
const NEXT: Duration = Duration::from_millis(50);
/// How often it looks, at the least; a shorter window is looked at more often.
const EVERY: Duration = Duration::from_secs(60);
const TIMES_PER_WINDOW: u32 = 10;
/// The shortest wait, whatever the window.
const SHORTEST: Duration = Duration::from_millis(10);

/// Runs until it is dropped.
///
/// It begins after a wait: most of what a consumer that crashed had handled and not committed to the
/// broker is delivered again first, also where it was away for longer than the window.
pub(crate) async fn purge(inbox: Arc<dyn Transact>, group: Arc<str>) {
    let every = (inbox.window() / TIMES_PER_WINDOW).clamp(SHORTEST, EVERY);
    loop {
        tokio::time::sleep(every).await;
        loop {
            match inbox.purge(&group, BATCH).await {
                Ok(purged) if purged >= u64::from(BATCH) => tokio::time::sleep(NEXT).await,
                Ok(_) => break,
                Err(error) => {
                    let error = chain(&error);
                    tracing::warn!(error, %group, "the inbox was not purged; it is tried again");
                    break;
                }
            }
        }
    }
}
