//! What is around the work, whether it is done one by one or in batches.

use std::pin::Pin;
use std::time::Duration;

use super::output::Outputs;
use crate::consumer::{Delivery, FailureKind, HandlerError, in_time};
use crate::event::TopicName;
use crate::producer::Producer;

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

/// What the user's code is told.
#[derive(Default)]
pub(super) struct Hooks {
    pub(super) error: Vec<Heard<Failed>>,
    pub(super) success: Vec<Heard<Delivery>>,
}

/// Settings of the work, where its output goes, and who hears of it.
pub(super) struct Frame {
    /// How long a call may take.
    pub(super) timeout: Duration,
    pub(super) topic: Option<TopicName>,
    pub(super) producer: Producer,
    pub(super) hooks: Hooks,
}

impl Frame {
    /// Room for what follows from inputs, of which this is one.
    pub(super) fn outputs(&self, delivery: &Delivery) -> Outputs {
        Outputs::new(delivery.publisher().clone(), self.producer.clone(), self.topic.clone())
    }

    /// Tells of a failure; `own` is what the work itself does then.
    pub(super) async fn failed(
        &self,
        error: &HandlerError,
        delivery: &Delivery,
        own: impl Future<Output = ()>,
    ) {
        self.call("on_error", own).await;
        for hook in &self.hooks.error {
            let failed =
                Failed { kind: error.kind(), message: error.message(), delivery: delivery.clone() };
            self.call("on_error", async { hook(failed).await }).await;
        }
    }

    /// Tells of a success.
    pub(super) async fn succeeded(&self, delivery: &Delivery, own: impl Future<Output = ()>) {
        self.call("on_success", own).await;
        for hook in &self.hooks.success {
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
