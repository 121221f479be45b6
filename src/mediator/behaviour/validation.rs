//! Requests that check themselves before their handler sees them.

use super::{Behaviour, Next};
use crate::mediator::{Context, Request, SendError};

/// Asks [`Request::validate`] and answers [`SendError::Invalid`] instead of running the handler.
#[derive(Debug, Clone, Copy, Default)]
pub struct Validation;

impl Behaviour for Validation {
    async fn handle<R: Request>(
        &self,
        request: R,
        cx: &mut Context,
        next: impl Next<R>,
    ) -> Result<R::Response, SendError<R>> {
        request.validate().map_err(SendError::Invalid)?;
        next.run(request, cx).await
    }
}
