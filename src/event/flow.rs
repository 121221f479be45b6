//! What flows by itself from a request or a handled event to all that it causes.

use super::{EventId, Tenant, TraceContext};

tokio::task_local! {
    static CURRENT: Flow;
}

/// Correlation, causation, tenant and trace of the work at hand.
///
/// The mediator sets it around a request and the consumer around a handler; whatever is published
/// inside carries it on. A task spawned inside has none, unless it is given one with [`Flow::scope`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Flow {
    /// What everything belongs to. Unset: each event starts its own.
    pub correlation_id: Option<EventId>,
    /// What caused it.
    pub causation_id: Option<EventId>,
    /// Whose work it is.
    pub tenant: Option<Tenant>,
    /// The trace it is part of.
    pub trace: Option<TraceContext>,
}

impl Flow {
    /// The flow of the task that asks; an empty one outside of any.
    pub fn current() -> Self {
        CURRENT.try_with(Clone::clone).unwrap_or_default()
    }

    /// The current flow, or a new correlation where there is none yet: what a request starts with.
    pub fn current_or_new() -> Self {
        let mut flow = Self::current();
        flow.correlation_id.get_or_insert_with(EventId::new);
        flow
    }

    /// Runs `future` with this flow as the current one.
    pub fn scope<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, future)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_flow_reaches_all_that_is_awaited_inside_and_nothing_outside() {
        let flow = Flow { correlation_id: Some(EventId::new()), ..Flow::default() };
        let seen = flow.clone().scope(async { Flow::current() }).await;
        assert_eq!(seen, flow);
        assert_eq!(Flow::current(), Flow::default());
    }
}
