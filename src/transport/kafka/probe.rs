//! Asks the broker every few seconds whether it is there, so that health is what is, not what was.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::producer::KafkaProducer;
use crate::transport::Unreachable;

/// Between two questions.
const EVERY: Duration = Duration::from_secs(2);
/// How long an answer may take. Together with [`EVERY`] a dead broker is seen within five seconds.
const ANSWER: Duration = Duration::from_secs(3);

#[derive(Clone)]
pub(super) struct Probe(Arc<Mutex<State>>);

enum State {
    /// The first answer is still out.
    Unknown(Instant),
    Up,
    Down {
        since: Instant,
        reason: String,
    },
}

impl Probe {
    /// A probe that has asked nothing yet.
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(State::Unknown(Instant::now()))))
    }

    /// Asks until the producer is gone.
    pub(super) fn start(&self, producer: &Arc<KafkaProducer>) -> std::io::Result<()> {
        let (states, producer) = (self.clone(), Arc::downgrade(producer));
        std::thread::Builder::new()
            .name("tidings-probe".into())
            .spawn(move || states.run(&producer))?;
        Ok(())
    }

    fn run(&self, producer: &Weak<KafkaProducer>) {
        while let Some(producer) = producer.upgrade() {
            let asked = Instant::now();
            let answer = producer.ask_broker(ANSWER);
            drop(producer);
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match answer {
                Ok(()) => *state = State::Up,
                Err(code) => {
                    let since = match *state {
                        State::Down { since, .. } | State::Unknown(since) => since,
                        State::Up => asked,
                    };
                    *state = State::Down { since, reason: code.to_string() };
                }
            }
            drop(state);
            std::thread::park_timeout(EVERY);
        }
    }

    pub(super) fn reachable(&self) -> Result<(), Unreachable> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*state {
            State::Up => Ok(()),
            State::Unknown(since) => {
                Err(Unreachable { since: since.elapsed(), reason: "no answer yet".into() })
            }
            State::Down { since, reason } => {
                Err(Unreachable { since: since.elapsed(), reason: reason.clone() })
            }
        }
    }
}
