//! Messages that are sent together: in order, with one wait for all of them.

use super::sending::{Outcome, Told};
use super::{AttemptError, Message, Producer, SendError, Sent, UnsentMessages};
use crate::event::Flow;
use crate::transport::ProduceError;

impl Producer {
    pub(super) async fn send_together(
        &self,
        messages: Vec<Message>,
    ) -> Result<Vec<Sent>, UnsentMessages> {
        let wrong = messages.iter().find_map(|message| {
            let id = || message.id.clone();
            message.check().err().map(|source| SendError::Invalid { id: id(), source })
        });
        if let Some(source) = wrong {
            return Err(UnsentMessages { unsent: messages, source });
        }
        let flow = Flow::current();
        let taken = self.take_all(messages.iter().map(|message| (message, &flow))).await;
        let (mut sent, mut unsent) = (Vec::with_capacity(taken.len()), Vec::new());
        let mut why = None;
        for (message, taken) in messages.into_iter().zip(taken) {
            match outcome(taken).await {
                Ok(one) => sent.push(one),
                Err(error) => {
                    why.get_or_insert(error);
                    unsent.push(message);
                }
            }
        }
        match why {
            Some(source) => Err(UnsentMessages { unsent, source }),
            None => Ok(sent),
        }
    }

    /// Sends messages in order, each as the consequence of a flow; answers what became of each.
    pub(crate) async fn send_each(&self, messages: &[(Message, Flow)]) -> Vec<Outcome> {
        let taken = self.take_all(messages.iter().map(|(message, flow)| (message, flow))).await;
        let mut outcomes = Vec::with_capacity(taken.len());
        for taken in taken {
            outcomes.push(outcome(taken).await);
        }
        outcomes
    }

    /// Gives all of them to the producer. What comes after one that found no room must not overtake it, and fails as
    /// it did.
    async fn take_all(
        &self,
        messages: impl ExactSizeIterator<Item = (&Message, &Flow)>,
    ) -> Vec<Result<Told, SendError>> {
        let mut taken = Vec::with_capacity(messages.len());
        let mut no_room = None;
        for (message, flow) in messages {
            let one = match &no_room {
                Some(why) => Err(self.0.leave(message, ProduceError::clone(why).into())),
                None => flow.clone().scope(self.0.take(message)).await,
            };
            if let Err(SendError::NotAcknowledged {
                source: AttemptError::NotAcknowledged(why),
                ..
            }) = &one
            {
                no_room.get_or_insert_with(|| why.clone());
            }
            taken.push(one);
        }
        taken
    }
}

async fn outcome(taken: Result<Told, SendError>) -> Outcome {
    taken?.outcome().await
}
