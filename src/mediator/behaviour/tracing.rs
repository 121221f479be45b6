//! A span around each request.

use tracing::field::Empty;
use tracing::{Instrument, info_span};

use super::{Behaviour, Next};
use crate::event::simple_type_name;
use crate::mediator::{Context, Request, SendError};

/// Runs each request in a span `send {request}` (`otel.name`; the span's own name is `send`) with the
/// fields `request` and `outcome`: `ok`, or what [`SendError::kind`] says.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tracing;

impl Behaviour for Tracing {
    async fn handle<R: Request>(
        &self,
        request: R,
        cx: &mut Context,
        next: impl Next<R>,
    ) -> Result<R::Response, SendError<R>> {
        let span = info_span!(
            "send",
            otel.name = %format_args!("send {}", simple_type_name::<R>()),
            request = simple_type_name::<R>(),
            outcome = Empty,
        );
        let result = next.run(request, cx).instrument(span.clone()).await;
        span.record("outcome", result.as_ref().err().map_or("ok", SendError::kind));
        result
    }
}
