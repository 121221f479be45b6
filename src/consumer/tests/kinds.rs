//! What kind of failure an error is, from `?` to where its event goes.

use std::time::Duration;

use super::super::{Consumer, Event, Failing, FailureKind, HandlerError};
use super::stage::*;

#[derive(Debug, thiserror::Error)]
#[error("mail: {0}")]
struct MailError(u32);

impl MailError {
    fn kind(&self) -> FailureKind {
        match self.0 {
            0 | 3 => FailureKind::Permanent,
            1 => FailureKind::Outage,
            _ => FailureKind::Transient,
        }
    }
}

async fn send(n: u32) -> Result<(), MailError> {
    Err(MailError(n))
}

#[tokio::test(start_paused = true)]
async fn an_error_that_its_type_speaks_for_keeps_its_kind_through_the_question_mark() {
    let stage = Stage::new(1, 100);
    let handler = |Event(e): Event<Noted>| async move {
        match e.n {
            3 => send(3).await.transient()?,
            n => send(n).await?,
        }
        Ok::<(), HandlerError>(())
    };
    let builder = consumer().handle_named("send", handler).classify(MailError::kind);
    let running = builder.build(&stage).map(Consumer::start).unwrap().await.unwrap();
    stage.assign(0, [0, 1]);
    stage.put([(0, "permanent", 0), (1, "outage", 1), (0, "transient", 2), (0, "said", 3)]);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let counts = running.status().counts();
    assert_eq!((counts.dead_lettered(), counts.retried()), (1, 2), "0; 2, and 3 as it is said");
    let problems = running.status().problems();
    assert_eq!(problems, ["noted/1: a handler reports an outage: mail: 1"]);
    drop(running);
}
