//! Asks the broker every few seconds whether it is there, so that health is what is, not what was.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

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

    /// Asks until `ask`, which may take so long, answers that there is nobody left to ask.
    pub(super) fn start(
        &self,
        ask: impl Fn(Duration) -> Option<Result<(), String>> + Send + 'static,
    ) -> std::io::Result<()> {
        let probe = self.clone();
        std::thread::Builder::new().name("tidings-probe".into()).spawn(move || probe.run(&ask))?;
        Ok(())
    }

    fn run(&self, ask: &dyn Fn(Duration) -> Option<Result<(), String>>) {
        loop {
            let asked = Instant::now();
            let Some(answer) = ask(ANSWER) else { return };
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match answer {
                Ok(()) => *state = State::Up,
                Err(reason) => {
                    let since = match *state {
                        State::Down { since, .. } | State::Unknown(since) => since,
                        State::Up => asked,
                    };
                    *state = State::Down { since, reason };
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
