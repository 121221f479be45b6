//! What was worked on and is not published yet: it is kept, and the work is not called again for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use tokio::sync::{Mutex, mpsc};

use super::frame::Frame;
use super::output::Outputs;
use crate::consumer::{Delivery, Handled, HandlerError, IntoOutcome, NotYet, Owed};

/// Work that hears how its inputs end.
pub(super) trait Hears: Send + Sync + 'static {
    fn frame(&self) -> &Frame;

    fn failed(&self, error: &HandlerError, delivery: &Delivery) -> impl Future<Output = ()> + Send;

    fn succeeded(&self, delivery: &Delivery) -> impl Future<Output = ()> + Send;
}

/// How the work on an input ended: `None` where all that follows from it is acknowledged.
pub(super) type Worked = Result<Option<Part>, HandlerError>;

/// Ends with the last part, and says when one goes whose outputs were left unpublished.
pub(super) type Parts = mpsc::Receiver<()>;

/// An input of which something is not published, among those that were worked on with it. They share what is left, so
/// that it keeps its order whichever of them publishes it again.
pub(super) struct Part {
    input: usize,
    why: String,
    shared: Arc<Shared>,
    settled: bool,
}

struct Shared {
    left: Mutex<Outputs>,
    /// How often it was published again.
    rounds: AtomicU64,
    parts: mpsc::Sender<()>,
}

impl Part {
    /// Says of each input that has not failed what became of its outputs, which were published once; answers the parts
    /// where there are any.
    pub(super) fn split(outputs: Outputs, worked: &mut [Worked]) -> Option<Parts> {
        if outputs.is_done() {
            return None;
        }
        let became: Vec<_> = (0..worked.len()).map(|input| outputs.of(input)).collect();
        let (sender, parts) = mpsc::channel(1);
        let shared = Shared { left: Mutex::new(outputs), rounds: AtomicU64::new(0), parts: sender };
        let shared = Arc::new(shared);
        for (input, (worked, became)) in worked.iter_mut().zip(became).enumerate() {
            match became {
                Err(NotYet::Later(why)) if worked.is_ok() => {
                    let shared = shared.clone();
                    *worked = Ok(Some(Self { input, why, shared, settled: false }));
                }
                Err(NotYet::Never(error)) if worked.is_ok() => *worked = Err(error),
                _ => {}
            }
        }
        Some(parts)
    }

    /// Publishes what is left of all of them, unless another one did while this one waited.
    async fn publish(&mut self) -> Result<(), NotYet> {
        let Shared { left, rounds, .. } = &*self.shared;
        let round = rounds.load(Ordering::SeqCst);
        let mut left = left.lock().await;
        if rounds.load(Ordering::SeqCst) == round {
            // A copy: where this one is dropped meanwhile, the others still have it.
            *left = left.clone().send().await;
            rounds.fetch_add(1, Ordering::SeqCst);
        }
        let became = left.of(self.input);
        self.settled = !matches!(became, Err(NotYet::Later(_)));
        became
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.settled {
            // Where it is full, it was said.
            let _ = self.shared.parts.try_send(());
        }
    }
}

/// Ends a call: has kept what is not published, and tells who hears of it.
pub(super) async fn end<W: Hears>(
    work: &Arc<W>,
    worked: Worked,
    delivery: &Delivery,
) -> Result<Handled, HandlerError> {
    let error = match worked {
        Ok(None) => {
            work.frame().succeeded(delivery, work.succeeded(delivery)).await;
            return Ok(().into_outcome());
        }
        Ok(Some(part)) => {
            let why = part.why.clone();
            let held = Held { part, work: work.clone(), delivery: delivery.clone() };
            HandlerError::owing(why, Box::new(held))
        }
        Err(error) => delivery.classified(error),
    };
    work.frame().failed(&error, delivery, work.failed(&error, delivery)).await;
    Err(error)
}

/// An input whose work is done, and told of once its outputs are published.
struct Held<W> {
    part: Part,
    work: Arc<W>,
    delivery: Delivery,
}

#[async_trait]
impl<W: Hears> Owed for Held<W> {
    async fn publish(&mut self) -> Result<(), NotYet> {
        self.part.publish().await
    }

    async fn tell(&self, ended: Result<(), &HandlerError>) {
        let Self { work, delivery, .. } = self;
        match ended {
            Ok(()) => work.frame().succeeded(delivery, work.succeeded(delivery)).await,
            Err(error) => work.frame().failed(error, delivery, work.failed(error, delivery)).await,
        }
    }
}
