//! Running a request and collecting what it raised: what every publishing decorator begins with.

use super::{Context, Mediate, Request, SendError};
use crate::event::{EventId, Flow};
use crate::mapper::Raised;

/// A request that succeeded, and what it raised.
pub struct Collected<T> {
    /// What the handler answered.
    pub response: T,
    /// What was raised, in order: in the context, then with the response. Empty for a request within
    /// a request: the outermost one collects for all.
    pub raised: Vec<Raised>,
    /// What its events carry on.
    pub flow: Flow,
}

/// Sends a request to `inner` within its flow, and collects what it raised once it has succeeded.
///
/// The events of one request share its correlation. Their cause is the event at hand, where the
/// request is sent from an event's handler; else the request itself, which is given an id.
///
/// # Errors
/// Those of `inner`. What the failed request raised is forgotten.
pub async fn collect<M: Mediate, R: Request>(
    inner: &M,
    request: R,
    cx: &mut Context,
) -> Result<Collected<R::Response>, SendError<R>> {
    if cx.is_collecting() {
        let flow = cx.flow();
        let response = sent(inner, request, cx).await?;
        return Ok(Collected { response, raised: Vec::new(), flow });
    }
    let flow = begun(cx.flow());
    let outermost = Outermost::new(cx, flow.clone());
    let response = flow.clone().scope(sent(inner, request, outermost.cx)).await?;
    let raised = outermost.cx.take_raised();
    Ok(Collected { response, raised, flow })
}

/// Sends a request and takes its response's events too, unless the inner mediator has done so.
async fn sent<M: Mediate, R: Request>(
    inner: &M,
    request: R,
    cx: &mut Context,
) -> Result<R::Response, SendError<R>> {
    let mark = cx.raised().len();
    cx.was_taken::<R>();
    let mut result = inner.send_in(request, cx).await;
    match &mut result {
        Ok(response) if !cx.was_taken::<R>() => {
            cx.take_from::<R>(response);
            cx.was_taken::<R>();
        }
        Ok(_) => {}
        Err(_) => cx.forget_from(mark),
    }
    result
}

/// The flow of a request that begins here.
fn begun(mut flow: Flow) -> Flow {
    match flow.causation_id {
        Some(_) => {
            flow.correlation_id.get_or_insert_with(EventId::new);
        }
        None => {
            let request = EventId::new();
            flow.correlation_id.get_or_insert_with(|| request.clone());
            flow.causation_id = Some(request);
        }
    }
    flow
}

/// Holds the context while the outermost request runs. Dropped, however that ends, it leaves a
/// context that the caller can use again: empty, with the flow that it was given.
struct Outermost<'a> {
    cx: &'a mut Context,
    given: Option<Flow>,
}

impl<'a> Outermost<'a> {
    fn new(cx: &'a mut Context, flow: Flow) -> Self {
        let given = cx.begin_collecting(flow);
        Self { cx, given }
    }
}

impl Drop for Outermost<'_> {
    fn drop(&mut self) {
        self.cx.end_collecting(self.given.take());
    }
}
