//! The pace of one life of a process: in which order its tasks are polled, and after which poll or
//! operation it is no more.

use std::any::Any;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use super::super::database::Caller;
use super::journal::{Client, Journal};
use super::plan::Moment;
use crate::task::{Process, Turn};
use crate::transport::memory::Memory;

/// Decides over each poll of each task of a life.
pub(super) struct Pace {
    client: Memory,
    journal: Arc<Journal>,
    over: watch::Sender<bool>,
    /// The moment that was waited for has come.
    reached: Notify,
    draws: Mutex<Draws>,
}

struct Draws {
    rng: fastrand::Rng,
    yields: u8,
    /// Polls that are granted before something is to happen, and whether that is a crash.
    left: Option<(u32, bool)>,
}

impl Pace {
    pub(super) fn new(
        client: Memory,
        journal: Arc<Journal>,
        rng: fastrand::Rng,
        yields: u8,
    ) -> Arc<Self> {
        Arc::new(Self {
            client,
            journal,
            over: watch::Sender::new(false),
            reached: Notify::new(),
            draws: Mutex::new(Draws { rng, yields, left: None }),
        })
    }

    fn draws(&self) -> MutexGuard<'_, Draws> {
        self.draws.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn number(&self) -> Client {
        self.client.number()
    }

    /// No task of it is polled again, and nothing of it reaches the broker any more; answers whether
    /// that is new.
    pub(super) fn ends(&self) -> bool {
        self.client.cut();
        !self.over.send_replace(true)
    }

    /// It crashes now, if it has not.
    pub(super) fn crash(&self) {
        if self.ends() {
            self.journal.crashed(self.number());
        }
    }

    /// Waits until it is over.
    pub(super) async fn ended(&self) {
        // The sender lives as long as this.
        let _ = self.over.subscribe().wait_for(|over| *over).await;
    }

    /// Waits for a moment; when it comes, and `crash` is said, the life is over at that very point.
    pub(super) async fn moment(self: &Arc<Self>, moment: Moment, crash: bool) {
        match moment {
            Moment::Now => {
                if crash {
                    self.crash();
                }
                return;
            }
            Moment::Poll(polls) => self.draws().left = Some((polls, crash)),
            Moment::Operation(operations) => {
                let pace = self.clone();
                let reached = move || {
                    pace.reached.notify_one();
                    crash && pace.ends()
                };
                self.journal.after(self.number(), operations, Box::new(reached));
            }
        }
        self.reached.notified().await;
    }

    /// Nobody waits for a moment any more.
    pub(super) fn disarm(&self) {
        self.draws().left = None;
        self.journal.disarm(self.number());
    }
}

impl Caller for Pace {
    fn is_alive(&self) -> bool {
        !*self.over.borrow()
    }

    fn did(&self) {
        self.journal.counted(self.number());
    }
}

impl Process for Pace {
    fn turn(&self) -> Turn {
        if *self.over.borrow() {
            return Turn::Never;
        }
        let mut draws = self.draws();
        if draws.rng.u8(..) < draws.yields {
            return Turn::Later;
        }
        let Some((left, crash)) = &mut draws.left else { return Turn::Now };
        if *left > 0 {
            *left -= 1;
            return Turn::Now;
        }
        let crash = *crash;
        draws.left = None;
        drop(draws);
        self.reached.notify_one();
        if !crash {
            return Turn::Now;
        }
        self.crash();
        Turn::Never
    }

    fn panicked(&self, panic: &(dyn Any + Send)) {
        self.journal.panicked(panic);
    }
}
