//! Types as handlers.

use std::future::Future;

use super::super::delivery::{Delivery, Needs};
use super::super::outcome::{Handled, HandlerError, IntoOutcome};
use super::{Event, Handler};
use crate::event::{IntegrationEvent, simple_type_name};

/// A type that handles an integration event; it holds what it needs.
pub trait IntegrationEventHandler<E: IntegrationEvent>: Send + Sync + 'static {
    /// Handles one event. `delivery` has its metadata, headers, attempt and a publisher, and the
    /// transaction that it runs in, where [`needs`](Self::needs) says that it runs in one.
    fn handle(
        &self,
        event: E,
        delivery: &Delivery,
    ) -> impl Future<Output = Result<impl IntoOutcome, HandlerError>> + Send;

    /// Its name, which retried records carry: it must stay the same over releases. The type's own
    /// name unless it is set.
    fn name(&self) -> &'static str {
        simple_type_name::<Self>()
    }

    /// What the builder must have for it: `needs.tx::<PostgresStore>()` has it run in a transaction,
    /// which it takes with [`delivery.tx()`](Delivery::tx). Nothing unless it is said.
    fn needs(_: &mut Needs) {}
}

/// Marks a handler that is a type.
pub struct Typed<E>(std::marker::PhantomData<E>);

impl<E: IntegrationEvent, H: IntegrationEventHandler<E>> Handler<Typed<E>> for H {
    type Input = Event<E>;

    fn name(&self) -> Option<&'static str> {
        Some(IntegrationEventHandler::name(self))
    }

    fn needs(needs: &mut Needs) {
        <H as IntegrationEventHandler<E>>::needs(needs);
    }

    async fn call(&self, delivery: Delivery) -> Result<Handled, HandlerError> {
        let event = delivery.decode()?;
        self.handle(event, &delivery).await.map(IntoOutcome::into_outcome)
    }
}
