//! A bound on how long a request may take.

use std::time::Duration;

use super::{Behaviour, Next};
use crate::mediator::{Context, Request, SendError};

/// Drops a request that takes longer, and answers [`SendError::TimedOut`].
///
/// The handler is dropped where it waits: what it had done by then stays done. Needs tokio's timer.
#[derive(Debug, Clone, Copy)]
pub struct Timeout(pub Duration);

impl Behaviour for Timeout {
    async fn handle<R: Request>(
        &self,
        request: R,
        cx: &mut Context,
        next: impl Next<R>,
    ) -> Result<R::Response, SendError<R>> {
        match tokio::time::timeout(self.0, next.run(request, cx)).await {
            Ok(result) => result,
            Err(_) => Err(SendError::TimedOut { after: self.0 }),
        }
    }
}
