//! The simulator: a whole system of services in one process, in virtual time, under random faults.
//!
//! [`run`] makes a [`World`] from a seed: a broker in memory with random delays, faults at the broker,
//! crashes and stops of the processes that run in it, and an order in which their tasks run. The
//! application is the caller's: it starts processes that use the real mediator, publisher, consumer and
//! relay, says in a [`Contract`] what they owe, and gives them work. Then faults end, everything settles,
//! and what happened is checked (see [`Class`]). The same seed does the same again, to the last operation.
//!
//! ```
//! # #[cfg(feature = "macros")] {
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicU32, Ordering};
//! use std::time::Duration;
//!
//! use serde::{Deserialize, Serialize};
//! use tidings::IntegrationEvent;
//! use tidings::consumer::{Consumer, Event, HandlerError, Order, TopicSetup};
//! use tidings::publisher::Publisher;
//! use tidings::retry::RetryPolicy;
//! use tidings::testing::sim::contract::Duties;
//! use tidings::testing::sim::journal::{Promise, What};
//! use tidings::testing::sim::{Life, Process, World, run};
//! use tidings::transport::memory::MemoryConfig;
//!
//! #[derive(Clone, Serialize, Deserialize, IntegrationEvent)]
//! #[event(key = order)]
//! struct OrderPaid { order: String }
//!
//! async fn ship(Event(_): Event<OrderPaid>) -> Result<(), HandlerError> {
//!     Ok(tokio::time::sleep(Duration::from_millis(20)).await)
//! }
//!
//! fn retry() -> RetryPolicy {
//!     RetryPolicy::tiers([Duration::from_secs(1)])
//! }
//!
//! // What the process of a service runs each time that it is started.
//! async fn shipping(life: Life) -> Result<(), tidings::error::BoxError> {
//!     let topics = TopicSetup::Create { partitions: None, replication: None };
//!     let consumer = Consumer::builder("shipping").retry(retry()).handle_named("ship", ship);
//!     life.consume(consumer.topics(topics).build(&life.client)?).await
//! }
//!
//! async fn simulate(world: World) {
//!     let owes = Duties::new("shipping", Order::ByKey, retry()).event::<OrderPaid>("ship");
//!     world.expect(owes.unwrap());
//!     let config = MemoryConfig::new("shipping");
//!     world.run(Process::new("shipping-0", config.clone(), shipping).consumes("shipping"));
//!     world.run(Process::new("shipping-1", config, shipping).consumes("shipping"));
//!     // What is paid survives the process that says so.
//!     let paid = Arc::new(AtomicU32::new(0));
//!     let orders = paid.clone();
//!     world.run(Process::new("shop", MemoryConfig::new("shop"), move |life| {
//!         let orders = orders.clone();
//!         async move {
//!             let publisher = Publisher::new(&life.client);
//!             while orders.load(Ordering::SeqCst) < 20 {
//!                 let event = OrderPaid { order: orders.load(Ordering::SeqCst).to_string() };
//!                 if publisher.publish(event.clone()).await.is_ok() {
//!                     let (events, tries) = (vec![Promise::of(&event)], u32::MAX);
//!                     life.world.journal().note(What::Promised { events, tries });
//!                     orders.fetch_add(1, Ordering::SeqCst);
//!                 }
//!             }
//!             Ok(())
//!         }
//!     }));
//!     while paid.load(Ordering::SeqCst) < 20 {
//!         tokio::time::sleep(Duration::from_millis(100)).await;
//!     }
//! }
//!
//! for seed in 0..20 {
//!     let report = run(seed, simulate);
//!     assert!(report.failure().is_none(), "{}", report.failure().unwrap());
//! }
//! # }
//! ```
//!
//! # Crashes and order
//!
//! A process owns the tasks that the library starts for it, that [`Life::spawn`] starts, and its `main`.
//! Each poll of each of them is counted, so a crash falls on any poll of any task: between two polls every
//! task stands at an await, or has not begun. Within a poll it falls after any operation of the process at
//! the broker: the rest of that poll goes on, nothing of it reaches the broker, and what it says it did is
//! not heard. From then on no task is polled; they are dropped, and the process is started again on what
//! the broker, and the caller, keep. Not covered: a point within a poll between two operations, where
//! nothing that others could see happens; tasks that a handler starts by itself with `tokio::spawn`.
//!
//! Of the tasks that are ready, which one runs is drawn: one may be put behind the others, again and again.
//! What runs within one task, as the handlers of one consumer's shard, runs in the order in which it was
//! woken.
//!
//! [`Contract`]: contract::Contract

mod checks;
pub mod contract;
pub mod journal;
mod pace;
mod plan;
mod process;
mod story;
#[cfg(test)]
mod tests;
mod world;

use std::sync::Arc;
use std::time::Duration;

pub use checks::{Class, Violation};
pub use process::{Life, Process};
pub use world::World;

use self::journal::Journal;

/// How long the caller's `simulate` may take, in the world's time.
const WORKS: Duration = Duration::from_secs(10 * 60);

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
    start(simulate, || World::new(seed))
}

/// As [`run`], with a plan that is not drawn.
#[cfg(test)]
fn run_planned<F, Fut>(seed: u64, plan: plan::Plan, simulate: F) -> Report
where
    F: FnOnce(World) -> Fut,
    Fut: Future<Output = ()>,
{
    start(simulate, || World::planned(seed, plan))
}

fn start<F, Fut>(simulate: F, world: impl FnOnce() -> World) -> Report
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
        let world = world();
        let mut stuck = match tokio::time::timeout(WORKS, simulate(world.clone())).await {
            Ok(()) => Vec::new(),
            Err(_) => vec![format!("the simulated work was not done within {WORKS:?}")],
        };
        stuck.extend(world.settle().await);
        let unclean = world.stop().await;
        let (journal, contract) = (world.journal().clone(), world.contract());
        let violations = journal.with(|entries| checks::all(entries, &contract, stuck, unclean));
        Report {
            seed: world.seed(),
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
    /// The seed, and what went wrong first with its story; `None` where all is well.
    pub fn failure(&self) -> Option<String> {
        let violation = self.violations.first()?;
        let story = self.journal.with(|entries| story::tell(entries, violation));
        Some(format!("seed {}: {story}", self.seed))
    }
}
