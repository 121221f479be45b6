//! Async functions as handlers.

use std::future::Future;

use super::super::delivery::{Delivery, Needs};
use super::super::outcome::{Handled, HandlerError, IntoOutcome};
use super::{Event, FromDelivery, Handler};
use crate::event::IntegrationEvent;

/// The function's own name; a closure has none.
fn function_name<F>() -> Option<&'static str> {
    let name = std::any::type_name::<F>().split('<').next()?.rsplit("::").next()?;
    (!name.starts_with('{')).then_some(name)
}

macro_rules! function {
    ($($arg:ident),*) => {
        impl<F, Fut, R, X, E, $($arg,)*> Handler<(Event<E>, $($arg,)*)> for F
        where
            F: Fn(Event<E>, $($arg),*) -> Fut + Send + Sync + 'static,
            Fut: Future<Output = Result<R, X>> + Send,
            R: IntoOutcome,
            X: Into<HandlerError>,
            E: IntegrationEvent,
            $($arg: FromDelivery,)*
        {
            type Event = E;

            fn name(&self) -> Option<&'static str> {
                function_name::<F>()
            }

            fn needs(needs: &mut Needs) {
                let _ = &needs;
                $($arg::needs(needs);)*
            }

            #[allow(non_snake_case, reason = "arguments are named as their types")]
            async fn call(&self, delivery: Delivery) -> Result<Handled, HandlerError> {
                let event = Event::from_delivery(&delivery)?;
                $(let $arg = $arg::from_delivery(&delivery)?;)*
                self(event, $($arg),*).await.map(IntoOutcome::into_outcome).map_err(Into::into)
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
function!(A, B, C, D, G, H, I);
