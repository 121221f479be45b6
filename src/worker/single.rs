//! Inputs worked on one by one: a handler of the consumer.

use std::marker::PhantomData;
use std::sync::Arc;

use super::frame::Frame;
use super::held::{Hears, Part, Worked, end};
use super::output::Output;
use super::process::Processor;
use crate::consumer::{Delivery, Handled, Handler, HandlerError, Needs, in_time};
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
    async fn work(&self, delivery: &Delivery) -> Worked {
        let output = in_time(self.frame.timeout, self.process.run(delivery)).await?;
        let mut outputs = self.frame.outputs(delivery);
        outputs.add(0, output, delivery, Flow::current())?;
        let mut worked = [Ok(None)];
        Part::split(outputs.send().await, &mut worked);
        let [worked] = worked;
        worked
    }
}

impl<P: Processor<Args>, Args: 'static, To: 'static> Hears for Single<P, Args, To> {
    fn frame(&self) -> &Frame {
        &self.frame
    }

    fn failed(&self, error: &HandlerError, delivery: &Delivery) -> impl Future<Output = ()> + Send {
        self.process.failed(error, delivery)
    }

    fn succeeded(&self, delivery: &Delivery) -> impl Future<Output = ()> + Send {
        self.process.succeeded(delivery)
    }
}

impl<P: Processor<Args>, Args: 'static, To: 'static> Handler<OfWorker> for Arc<Single<P, Args, To>>
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
        let worked = self.work(&delivery).await;
        end(self, worked, &delivery).await
    }
}
