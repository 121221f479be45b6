//! Async functions as handlers.

use std::future::Future;
use std::marker::PhantomData;

use super::super::delivery::{Delivery, Needs};
use super::super::outcome::{Handled, HandlerError, IntoOutcome};
use super::{FromDelivery, Handler, Input};

/// An async function whose first argument is an [`Input`] and whose others are extractors.
///
/// `Args` are its arguments, and always inferred.
pub trait HandlerFn<Args>: Send + Sync + 'static {
    /// Its first argument.
    type Input: Input;
    /// What it answers where it does not fail.
    type Answer;

    /// Its own name; a closure has none.
    fn name(&self) -> Option<&'static str>;

    /// What the builder must have for it.
    fn needs(needs: &mut Needs);

    /// Calls it with what it asks for.
    fn run(
        &self,
        delivery: &Delivery,
    ) -> impl Future<Output = Result<Self::Answer, HandlerError>> + Send;
}

fn function_name<F>() -> Option<&'static str> {
    let name = std::any::type_name::<F>().split('<').next()?.rsplit("::").next()?;
    (!name.starts_with('{')).then_some(name)
}

macro_rules! function {
    ($($arg:ident),*) => {
        impl<F, Fut, R, X, I, $($arg,)*> HandlerFn<(I, $($arg,)*)> for F
        where
            F: Fn(I, $($arg),*) -> Fut + Send + Sync + 'static,
            Fut: Future<Output = Result<R, X>> + Send,
            X: Into<HandlerError>,
            I: Input,
            $($arg: FromDelivery,)*
        {
            type Input = I;
            type Answer = R;

            fn name(&self) -> Option<&'static str> {
                function_name::<F>()
            }

            fn needs(needs: &mut Needs) {
                I::needs(needs);
                $($arg::needs(needs);)*
            }

            #[allow(non_snake_case, reason = "arguments are named as their types")]
            async fn run(&self, delivery: &Delivery) -> Result<R, HandlerError> {
                let input = I::from_delivery(delivery)?;
                $(let $arg = $arg::from_delivery(delivery)?;)*
                self(input, $($arg),*).await.map_err(Into::into)
            }
        }
    };
}

function!();
function!(A);
function!(A, B);
function!(A, B, C);
function!(A, B, C, D);
function!(A, B, C, D, G);
function!(A, B, C, D, G, H);
function!(A, B, C, D, G, H, J);

/// Marks a handler that is a function.
pub struct Function<Args>(PhantomData<Args>);

impl<Args, F: HandlerFn<Args>> Handler<Function<Args>> for F
where
    F::Answer: IntoOutcome,
{
    type Input = F::Input;

    fn name(&self) -> Option<&'static str> {
        HandlerFn::name(self)
    }

    fn needs(needs: &mut Needs) {
        <F as HandlerFn<Args>>::needs(needs);
    }

    async fn call(&self, delivery: Delivery) -> Result<Handled, HandlerError> {
        self.run(&delivery).await.map(IntoOutcome::into_outcome)
    }
}
