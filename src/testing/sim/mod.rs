//! The simulator: a whole system of services in one process, in virtual time, under random faults.
//!
//! [`run`] makes a [`World`] from a seed: a broker in memory with random delays, a plan of faults at
//! the broker, and crashes and stops of the processes that run in it. The application is the caller's:
//! it starts processes that use the real mediator, publisher and consumer, says in a [`Contract`] what
//! they owe, and gives them work. Then faults end, everything settles, and what happened is checked
//! (see [`Class`]). The same seed does the same again, to the last operation.
//!
//! [`Contract`]: contract::Contract

mod checks;
pub mod contract;
pub mod journal;
mod pace;
mod plan;
mod process;
mod story;
mod world;

use std::sync::Arc;
use std::time::Duration;

pub use checks::{Class, Violation};
pub use process::{Life, Main, Process};
pub use world::World;

use self::journal::Journal;

/// How long the caller's `simulate` may take, in the world's time.
const WORKS: Duration = Duration::from_secs(60 * 60);

/// What a run came to.
#[derive(Debug)]
pub struct Report {
    /// What it was made from.
    pub seed: u64,
    /// What must not have happened; empty where all is well.
    pub violations: Vec<Violation>,
    /// Different events on the broker.
    pub events: usize,
    /// Faults that happened at the broker.
    pub faults: usize,
    /// Processes that were killed.
    pub crashes: usize,
    /// How long it took in its own time.
    pub lasted: Duration,
    /// All that happened.
    pub journal: Arc<Journal>,
}

/// Runs a world. `simulate` starts its processes and gives them work; it returns when there is no
/// more. What goes wrong does so meanwhile.
///
/// # Panics
/// When it is called within a tokio runtime.
pub fn run<F, Fut>(seed: u64, simulate: F) -> Report
where
    F: FnOnce(World) -> Fut,
    Fut: Future<Output = ()>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without drivers of the system can be built");
    runtime.block_on(async {
        let world = World::new(seed);
        let mut stuck = match tokio::time::timeout(WORKS, simulate(world.clone())).await {
            Ok(()) => Vec::new(),
            Err(_) => vec![format!("the simulated work was not done within {WORKS:?}")],
        };
        stuck.extend(world.settle().await);
        let unclean = world.stop().await;
        let (journal, contract) = (world.journal().clone(), world.contract());
        let violations = journal.with(|entries| checks::all(entries, &contract, stuck, unclean));
        Report {
            seed,
            violations,
            events: journal.events(),
            faults: world.broker().faults(),
            crashes: world.crashes(),
            lasted: world.age(),
            journal,
        }
    })
}

impl Report {
    /// What went wrong first, with its story; `None` where all is well.
    pub fn failure(&self) -> Option<String> {
        let violation = self.violations.first()?;
        Some(self.journal.with(|entries| story::tell(entries, violation)))
    }
}
