//! What is around the work, whether it is done one by one or in batches.

use std::pin::Pin;
use std::time::Duration;

use crate::consumer::{Delivery, FailureKind, HandlerError, in_time};
use crate::event::TopicName;

type Heard<T> = Box<dyn Fn(T) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// An attempt that has failed.
#[derive(Clone)]
#[non_exhaustive]
pub struct Failed {
    /// What the error says about trying again.
    pub kind: FailureKind,
    /// The error and its causes on one line.
    pub message: String,
    /// The input.
    pub delivery: Delivery,
}

/// Settings of the work, and who hears of it.
pub(super) struct Frame {
    /// How long a call may take.
    pub(super) timeout: Duration,
    pub(super) topic: Option<TopicName>,
    pub(super) on_error: Vec<Heard<Failed>>,
    pub(super) on_success: Vec<Heard<Delivery>>,
}

impl Frame {
    /// Tells of a failure; `own` is what the work itself does then.
    pub(super) async fn failed(
        &self,
        error: &HandlerError,
        delivery: &Delivery,
        own: impl Future<Output = ()>,
    ) {
        self.call("on_error", own).await;
        for hook in &self.on_error {
            let failed =
                Failed { kind: error.kind(), message: error.message(), delivery: delivery.clone() };
            self.call("on_error", async { hook(failed).await }).await;
        }
    }

    /// Tells of a success.
    pub(super) async fn succeeded(&self, delivery: &Delivery, own: impl Future<Output = ()>) {
        self.call("on_success", own).await;
        for hook in &self.on_success {
            self.call("on_success", async { hook(delivery.clone()).await }).await;
        }
    }

    /// What is told changes nothing: not by a panic, and not by hanging.
    async fn call(&self, hook: &'static str, call: impl Future<Output = ()>) {
        let call = async {
            call.await;
            Ok(())
        };
        if let Err(error) = in_time(self.timeout, call).await {
            tracing::warn!(hook, error = error.message(), "a hook of a worker failed");
        }
    }
}
