//! What was worked on and is not published yet: it is kept, and the work is not called again for it.

use std::sync::Arc;

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
    /// The round after which it last looked what became of its own.
    seen: u64,
    settled: bool,
}

struct Shared {
    left: Mutex<Left>,
    parts: mpsc::Sender<()>,
}

struct Left {
    outputs: Outputs,
    /// How often they were published again.
    rounds: u64,
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
        let left = Mutex::new(Left { outputs, rounds: 0 });
        let shared = Arc::new(Shared { left, parts: sender });
        for (input, (worked, became)) in worked.iter_mut().zip(became).enumerate() {
            match became {
                Err(NotYet::Later(why)) if worked.is_ok() => {
                    let shared = shared.clone();
                    *worked = Ok(Some(Self { input, why, shared, seen: 0, settled: false }));
                }
                Err(NotYet::Never(error)) if worked.is_ok() => *worked = Err(error),
                _ => {}
            }
        }
        Some(parts)
    }

    /// Publishes what is left of all of them, unless another one has since this one last looked: one of them does it
    /// for all in each round of theirs.
    async fn publish(&mut self) -> Result<(), NotYet> {
        let mut left = self.shared.left.lock().await;
        if left.rounds == self.seen {
            // A copy: where this one is dropped meanwhile, the others still have it.
            left.outputs = left.outputs.clone().send().await;
            left.rounds += 1;
        }
        self.seen = left.rounds;
        let became = left.outputs.of(self.input);
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
        // The calls themselves may panic too, before there is a future: they belong inside.
        match ended {
            Ok(()) => {
                let heard = async { work.succeeded(delivery).await };
                work.frame().succeeded(delivery, heard).await;
            }
            Err(error) => {
                let heard = async { work.failed(error, delivery).await };
                work.frame().failed(error, delivery, heard).await;
            }
        }
    }
}
