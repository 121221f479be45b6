//! What a worker does with a batch: an async function, or a type.

use super::{BatchAnswer, Item};
use crate::consumer::{Delivery, HandlerError, Input, Needs};
use crate::worker::process::OfType;

/// A type that is a worker's work on batches; it holds what it needs. An async function needs none: see
/// [`BatchProcessor`].
pub trait ProcessBatch: Send + Sync + 'static {
    /// What it reads: `Event<E>`, `Value<V>` or `RawRecord`.
    type Input: Input;
    /// What an item leads to, to be published: see [`Output`](crate::worker::Output).
    type Output: Send;

    /// Works on a batch; answers an outcome for each item, in their order.
    fn process_batch(
        &self,
        items: Vec<Item<Self::Input>>,
    ) -> impl Future<Output = Vec<Result<Self::Output, HandlerError>>> + Send;

    /// Hears of each item whose attempt has failed. Nothing unless it is set.
    fn on_error(
        &self,
        error: &HandlerError,
        delivery: &Delivery,
    ) -> impl Future<Output = ()> + Send {
        let _ = (error, delivery);
        std::future::ready(())
    }

    /// Hears of each item that is done, and what it led to is acknowledged. Nothing unless it is set.
    fn on_success(&self, delivery: &Delivery) -> impl Future<Output = ()> + Send {
        let _ = delivery;
        std::future::ready(())
    }

    /// What the builder must have for it; checked at build.
    fn needs(_: &mut Needs) {}
}

/// What a worker can run on batches: an async function that takes a `Vec` of [`Item`]s and answers an outcome for
/// each, or a type that is [`ProcessBatch`].
///
/// `Args` tells the two apart and is always inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no work on batches",
    note = "give an `async fn(Vec<Item<Value<V>>>) -> Vec<Result<_, HandlerError>>`, with `Event<E>` or `RawRecord` where that is read",
    note = "or a type that implements `ProcessBatch`"
)]
pub trait BatchProcessor<Args>: Send + Sync + 'static {
    /// What it reads.
    type Input: Input;
    /// What it answers.
    type Answer: BatchAnswer;

    /// What the builder must have for it.
    fn needs(_: &mut Needs) {}

    /// Works on a batch.
    fn run(&self, items: Vec<Item<Self::Input>>) -> impl Future<Output = Self::Answer> + Send;

    /// Hears of a failure.
    fn failed(&self, error: &HandlerError, delivery: &Delivery) -> impl Future<Output = ()> + Send {
        let _ = (error, delivery);
        std::future::ready(())
    }

    /// Hears of a success.
    fn succeeded(&self, delivery: &Delivery) -> impl Future<Output = ()> + Send {
        let _ = delivery;
        std::future::ready(())
    }
}

/// Marks work on batches that is a function.
pub struct BatchFn<I, Fut>(std::marker::PhantomData<(I, Fut)>);

impl<F, I, Fut> BatchProcessor<BatchFn<I, Fut>> for F
where
    F: Fn(Vec<Item<I>>) -> Fut + Send + Sync + 'static,
    I: Input,
    Fut: Future + Send,
    Fut::Output: BatchAnswer,
{
    type Input = I;
    type Answer = Fut::Output;

    fn run(&self, items: Vec<Item<I>>) -> impl Future<Output = Fut::Output> + Send {
        self(items)
    }
}

impl<P: ProcessBatch> BatchProcessor<OfType> for P {
    type Input = P::Input;
    type Answer = Vec<Result<P::Output, HandlerError>>;

    fn needs(needs: &mut Needs) {
        <P as ProcessBatch>::needs(needs);
    }

    fn run(&self, items: Vec<Item<P::Input>>) -> impl Future<Output = Self::Answer> + Send {
        self.process_batch(items)
    }

    fn failed(&self, error: &HandlerError, delivery: &Delivery) -> impl Future<Output = ()> + Send {
        self.on_error(error, delivery)
    }

    fn succeeded(&self, delivery: &Delivery) -> impl Future<Output = ()> + Send {
        self.on_success(delivery)
    }
}
