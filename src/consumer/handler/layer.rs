//! tower layers around handlers.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

use super::super::delivery::Delivery;
use super::super::outcome::{Handled, HandlerError};
use super::{Call, Calling};
use crate::error::BoxError;

/// A handler as a tower service: what a layer wraps.
#[derive(Clone)]
pub struct HandlerService(Arc<dyn Call>);

/// A [`HandlerError`] that layers can pass on: an error as tower knows them.
#[derive(Debug)]
pub struct HandlerFailure(pub HandlerError);

impl fmt::Display for HandlerFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message())
    }
}

impl std::error::Error for HandlerFailure {}

impl Service<Delivery> for HandlerService {
    type Response = Handled;
    type Error = HandlerFailure;
    type Future = Pin<Box<dyn Future<Output = Result<Handled, HandlerFailure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, delivery: Delivery) -> Self::Future {
        let handler = self.0.clone();
        Box::pin(async move { handler.call(delivery).await.map_err(HandlerFailure) })
    }
}

struct Layered<S>(S);

impl<S> Call for Layered<S>
where
    S: Service<Delivery, Response = Handled> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    fn call(&self, delivery: Delivery) -> Calling<'_> {
        let mut service = self.0.clone();
        Box::pin(async move {
            poll_fn(|cx| service.poll_ready(cx)).await.map_err(failure)?;
            service.call(delivery).await.map_err(failure)
        })
    }
}

/// What the handler said, or the layer's own error, of which nothing was said.
fn failure(error: impl Into<BoxError>) -> HandlerError {
    match error.into().downcast::<HandlerFailure>() {
        Ok(failure) => failure.0,
        Err(error) => HandlerError::unsaid(error),
    }
}

/// Puts a layer around a handler.
pub(in super::super) fn layered<L>(layer: &L, handler: Arc<dyn Call>) -> Arc<dyn Call>
where
    L: Layer<HandlerService>,
    L::Service: Service<Delivery, Response = Handled> + Clone + Send + Sync + 'static,
    <L::Service as Service<Delivery>>::Error: Into<BoxError>,
    <L::Service as Service<Delivery>>::Future: Send,
{
    Arc::new(Layered(layer.layer(HandlerService(handler))))
}
