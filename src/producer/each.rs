//! Messages that are sent together, in order.

use futures::future::join_all;

use super::{Message, MessageId, Producer, SendError, Sent};
use crate::event::Flow;
use crate::transport::ProduceError;

impl Producer {
    /// Sends messages in order, each as the consequence of a flow; answers what became of each.
    pub(crate) async fn send_each(
        &self,
        messages: &[(Message, Flow)],
    ) -> Vec<Result<Sent, SendError>> {
        let refused = |id: MessageId, source| SendError::NotAcknowledged { id, source };
        let mut full: Option<ProduceError> = None;
        let mut answers = Vec::new();
        for (message, flow) in messages {
            let id = message.message_id().clone();
            let queued = match &full {
                // What comes after a message that was not taken must not overtake it.
                Some(full) => Err(refused(id, full.clone())),
                None => match self.begin(message, flow) {
                    Err(error) => Err(error),
                    Ok(mut sending) => match sending.queued().await {
                        Ok(()) => Ok(Self::answered(id, sending)),
                        Err(source) => {
                            full = Some(source.clone());
                            Err(refused(id, source))
                        }
                    },
                },
            };
            answers.push(async {
                match queued {
                    Ok(answer) => answer.await,
                    Err(error) => Err(error),
                }
            });
        }
        join_all(answers).await
    }
}
