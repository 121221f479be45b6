//! What a worker does with each input: an async function, or a type.

use crate::consumer::{Delivery, Function, HandlerError, HandlerFn, Input, Needs};

/// A type that is a worker's work; it holds what it needs. An async function needs none: see
/// [`Processor`].
pub trait Process: Send + Sync + 'static {
    /// What it reads: `Event<E>`, `Value<V>` or `RawRecord`.
    type Input: Input;
    /// What it answers, to be published: see [`Output`](super::Output).
    type Output: Send;

    /// Works on one input. `delivery` has its metadata, headers, attempt and state.
    fn process(
        &self,
        input: Self::Input,
        delivery: &Delivery,
    ) -> impl Future<Output = Result<Self::Output, HandlerError>> + Send;

    /// Hears that an attempt has failed: the work itself, or the publishing of what it answered, which is an outage
    /// where it is kept and published later. The error says what becomes of the input. Nothing unless it is set.
    fn on_error(
        &self,
        error: &HandlerError,
        delivery: &Delivery,
    ) -> impl Future<Output = ()> + Send {
        let _ = (error, delivery);
        std::future::ready(())
    }

    /// Hears that an input is done and what it led to is acknowledged. Nothing unless it is set.
    fn on_success(&self, delivery: &Delivery) -> impl Future<Output = ()> + Send {
        let _ = delivery;
        std::future::ready(())
    }

    /// What the builder must have for it; checked at build.
    fn needs(_: &mut Needs) {}
}

/// What a worker can run on each input: an async function whose first argument is an [`Input`], whose others
/// are extractors, and that answers `Result<_, HandlerError>` or any error; or a type that is [`Process`].
///
/// `Args` tells the two apart and is always inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no work of a worker",
    note = "give an `async fn` whose first argument is `Event<E>`, `Value<V>` or `RawRecord`, whose other arguments are extractors (`State<S>`, `Metadata`, ..), and that answers a `Result`",
    note = "or a type that implements `Process`"
)]
pub trait Processor<Args>: Send + Sync + 'static {
    /// What it reads.
    type Input: Input;
    /// What it answers.
    type Output;

    /// What the builder must have for it.
    fn needs(needs: &mut Needs);

    /// Works on one input.
    fn run(
        &self,
        delivery: &Delivery,
    ) -> impl Future<Output = Result<Self::Output, HandlerError>> + Send;

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

impl<Args, F: HandlerFn<Args>> Processor<Function<Args>> for F {
    type Input = F::Input;
    type Output = F::Answer;

    fn needs(needs: &mut Needs) {
        <F as HandlerFn<Args>>::needs(needs);
    }

    fn run(
        &self,
        delivery: &Delivery,
    ) -> impl Future<Output = Result<Self::Output, HandlerError>> + Send {
        HandlerFn::run(self, delivery)
    }
}

/// Marks work that is a type.
pub struct OfType;

impl<P: Process> Processor<OfType> for P {
    type Input = P::Input;
    type Output = P::Output;

    fn needs(needs: &mut Needs) {
        <P as Process>::needs(needs);
    }

    async fn run(&self, delivery: &Delivery) -> Result<Self::Output, HandlerError> {
        let input = <P::Input as crate::consumer::FromDelivery>::from_delivery(delivery)?;
        self.process(input, delivery).await
    }

    fn failed(&self, error: &HandlerError, delivery: &Delivery) -> impl Future<Output = ()> + Send {
        self.on_error(error, delivery)
    }

    fn succeeded(&self, delivery: &Delivery) -> impl Future<Output = ()> + Send {
        self.on_success(delivery)
    }
}
