//! Inputs worked on in batches: each is a handler's call that waits for its batch.

mod answer;
mod gather;
mod process;

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

pub use self::answer::BatchAnswer;
use self::gather::Gather;
pub use self::process::{BatchFn, BatchProcessor, ProcessBatch};
use super::frame::Frame;
use super::held::{Part, Parts, Worked, end};
use super::output::Output;
use super::single::OfWorker;
use crate::consumer::{Delivery, FromDelivery, Handled, Handler, HandlerError, Needs, in_time};
use crate::event::Flow;

/// One input of a batch.
#[non_exhaustive]
pub struct Item<I> {
    /// What was read.
    pub input: I,
    /// Its metadata, headers, attempt, and the worker's state.
    pub delivery: Delivery,
}

/// The work on batches as a handler of the consumer.
pub(super) struct Batched<P: BatchProcessor<Args>, Args, To> {
    gather: Arc<Gather<P, Args, To>>,
}

/// What all batches share.
struct Batches<P, Args, To> {
    process: P,
    frame: Arc<Frame>,
    /// How many batches run at once.
    slots: Semaphore,
    to: PhantomData<fn() -> (Args, To)>,
}

impl<P: BatchProcessor<Args>, Args, To> Batched<P, Args, To> {
    pub(super) fn new(
        process: P,
        size: usize,
        wait: Duration,
        concurrency: usize,
        frame: Arc<Frame>,
    ) -> Self {
        let slots = Semaphore::new(concurrency.min(Semaphore::MAX_PERMITS));
        let batches = Batches { process, frame, slots, to: PhantomData };
        Self { gather: Arc::new(Gather::new(batches, size, wait)) }
    }
}

impl<P, Args, To> Handler<OfWorker> for Batched<P, Args, To>
where
    P: BatchProcessor<Args>,
    <P::Answer as BatchAnswer>::Output: Output<To>,
    Args: 'static,
    To: 'static,
{
    type Input = P::Input;

    fn name(&self) -> Option<&'static str> {
        None
    }

    fn needs(needs: &mut Needs) {
        P::Input::needs(needs);
        P::needs(needs);
        needs.revoke();
    }

    async fn call(&self, delivery: Delivery) -> Result<Handled, HandlerError> {
        // What cannot be read is no item of any batch.
        let worked = match P::Input::from_delivery(&delivery) {
            Ok(input) => self.gather.item(Item { input, delivery: delivery.clone() }).await,
            Err(error) => Err(error),
        };
        end(&self.gather, worked, &delivery).await
    }
}

impl<P: BatchProcessor<Args>, Args, To> Batches<P, Args, To>
where
    <P::Answer as BatchAnswer>::Output: Output<To>,
{
    /// Works on a batch, and publishes what follows from it; answers how each item ended, and of which something is
    /// not published yet.
    async fn work(
        &self,
        items: Vec<Item<P::Input>>,
        flows: Vec<Flow>,
    ) -> (Vec<Worked>, Option<Parts>) {
        // It is never closed.
        let _slot = self.slots.acquire().await;
        let deliveries: Vec<_> = items.iter().map(|item| item.delivery.clone()).collect();
        let Some(first) = deliveries.first() else { return (Vec::new(), None) };
        let answered =
            in_time(self.frame.timeout, async { self.process.run(items).await.outcomes() }).await;
        let all = |error: HandlerError| {
            let error = first.classified(error);
            let again = |_| Err(HandlerError::said(error.kind(), error.message()));
            (deliveries.iter().map(again).collect(), None)
        };
        let outcomes = match answered {
            Ok(outcomes) if outcomes.len() == deliveries.len() => outcomes,
            Ok(outcomes) => return all(miscounted(deliveries.len(), outcomes.len())),
            Err(error) => return all(error),
        };
        let mut outputs = self.frame.outputs(first);
        let mut worked = Vec::with_capacity(outcomes.len());
        for (at, ((outcome, delivery), flow)) in
            outcomes.into_iter().zip(&deliveries).zip(flows).enumerate()
        {
            let added = outcome.and_then(|output| outputs.add(at, output, delivery, flow));
            worked.push(added.map(|()| None));
        }
        let parts = Part::split(outputs.send().await, &mut worked);
        (worked, parts)
    }
}

/// Which outcome is whose cannot be said, so none of them counts; no retry helps, and a dead letter would not
/// either: the items are kept until the function is mended.
fn miscounted(items: usize, outcomes: usize) -> HandlerError {
    HandlerError::outage(format!(
        "the batch function answered {outcomes} outcomes for {items} items; it has to answer one for each, in \
         their order"
    ))
}
