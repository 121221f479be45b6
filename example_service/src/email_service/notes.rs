//! Tries that failed are written down beside the handlers: what a handler writes in its transaction is
//! gone when it fails.

use tokio::sync::mpsc;

use super::Background;
use super::mailbox::FailedTry;
use super::store::Mails;

/// Notes that wait to be written; more are not kept.
const WAITING: usize = 10_000;

/// Takes notes. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Notes(mpsc::Sender<FailedTry>);

/// Begins to write into these tables, until the last clone of the answer is dropped.
pub(super) fn begin<S: Mails>(mails: S, tasks: &mut Background) -> Notes {
    let (notes, mut taken) = mpsc::channel(WAITING);
    tasks.spawn(async move {
        while let Some(failed) = taken.recv().await {
            if let Err(error) = mails.note(&failed).await {
                tracing::warn!(%error, "a failed try could not be written down");
            }
        }
    });
    Notes(notes)
}

impl Notes {
    /// Has it written down soon.
    pub fn note(&self, failed: FailedTry) {
        if self.0.try_send(failed).is_err() {
            tracing::warn!("a failed try is not written down: too many wait for that");
        }
    }
}
