//! Inputs worked on one by one: a handler of the consumer.

use std::marker::PhantomData;
use std::sync::Arc;

use super::frame::Frame;
use super::output::Output;
use super::process::Processor;
use crate::consumer::{Delivery, Handled, Handler, HandlerError, IntoOutcome, Needs, in_time};
use crate::event::Flow;

/// Marks a worker's handlers.
pub(super) struct OfWorker;

pub(super) struct Single<P, Args, To> {
    pub(super) process: P,
    pub(super) frame: Arc<Frame>,
    pub(super) to: PhantomData<fn() -> (Args, To)>,
}

impl<P: Processor<Args>, Args, To> Single<P, Args, To>
where
    P::Output: Output<To>,
{
    /// Works on an input, and waits until what follows from it is acknowledged.
    async fn work(&self, delivery: &Delivery) -> Result<(), HandlerError> {
        let output = in_time(self.frame.timeout, self.process.run(delivery)).await?;
        let mut outputs = self.frame.outputs(delivery);
        outputs.add(0, output, delivery, Flow::current())?;
        outputs.send().await.into_iter().next().map_or(Ok(()), |(_, error)| Err(error))
    }
}

impl<P: Processor<Args>, Args: 'static, To: 'static> Handler<OfWorker> for Single<P, Args, To>
where
    P::Output: Output<To>,
{
    type Input = P::Input;

    fn name(&self) -> Option<&'static str> {
        None
    }

    fn needs(needs: &mut Needs) {
        P::needs(needs);
    }

    async fn call(&self, delivery: Delivery) -> Result<Handled, HandlerError> {
        match self.work(&delivery).await {
            Ok(()) => {
                self.frame.succeeded(&delivery, self.process.succeeded(&delivery)).await;
                Ok(().into_outcome())
            }
            Err(error) => {
                let error = delivery.classified(error);
                let heard = self.process.failed(&error, &delivery);
                self.frame.failed(&error, &delivery, heard).await;
                Err(error)
            }
        }
    }
}
