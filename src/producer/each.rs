//! Messages that follow from different things, sent together.

use futures::future::join_all;

use super::{Message, Producer, SendError};
use crate::event::Flow;

impl Producer {
    /// Sends messages in order, each as the consequence of a flow of its own; answers why which of them was
    /// not acknowledged.
    pub(crate) async fn send_each(&self, messages: &[(Message, Flow)]) -> Vec<(usize, SendError)> {
        let (mut queued, mut failed) = (Vec::with_capacity(messages.len()), Vec::new());
        for (at, (message, flow)) in messages.iter().enumerate() {
            match flow.clone().scope(self.queue(message)).await {
                Ok(way) => queued.push((at, way)),
                Err(error @ SendError::Invalid { .. }) => failed.push((at, error)),
                // What comes after a message that was not taken must not overtake it.
                Err(SendError::NotAcknowledged { source, .. }) => {
                    failed.extend((at..messages.len()).map(|at| {
                        let id = messages[at].0.message_id().clone();
                        (at, SendError::NotAcknowledged { id, source: source.clone() })
                    }));
                    break;
                }
            }
        }
        let answer = async |(at, way): (usize, _)| {
            self.answer(&messages[at].0, way).await.err().map(|error| (at, error))
        };
        failed.extend(join_all(queued.into_iter().map(answer)).await.into_iter().flatten());
        failed
    }
}
