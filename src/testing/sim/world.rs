//! A world: one broker, processes, chance, and a plan of what goes wrong.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::super::database::{DatabaseFault, MemoryDatabase};
use super::contract::{Contract, Duties};
use super::journal::{Client, EPOCH, Journal, What};
use super::pace::Pace;
use super::plan::{End, Moment, Plan};
use super::process::{Life, Process};
use crate::clock::Millis;
use crate::store::Backlog;
use crate::transport::memory::{Lag, MemoryBroker};

/// How far a process's clock is ahead or behind at most: 10 minutes.
const SKEW: Millis = 600_000;
/// Between two looks at whether everything has settled.
const LOOK: Duration = Duration::from_millis(250);
/// How long settling may take beside the waits in the tiers.
const SETTLES: Duration = Duration::from_secs(180);
/// How long rows may stay whose time is over: relays and consumers look each minute.
const TIDIED: Duration = Duration::from_secs(75);
/// How long a process may take to come to the moment at which it is to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// A simulated world. Cheap to clone; all clones are the same world.
#[derive(Clone)]
pub struct World(Arc<Inner>);

struct Inner {
    seed: u64,
    broker: MemoryBroker,
    journal: Arc<Journal>,
    began: Instant,
    /// Faults have ended.
    calm: AtomicBool,
    state: Mutex<State>,
    tasks: Mutex<JoinSet<()>>,
}

struct State {
    rng: fastrand::Rng,
    yields: u8,
    contract: Contract,
    processes: Vec<Running>,
    databases: Vec<MemoryDatabase>,
    crashes: usize,
    /// Ends under way, and restarts to come.
    pending: usize,
}

struct Running {
    process: Process,
    life: Option<Life>,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let plan = Plan::drawn(&mut rng);
        Self::with(seed, rng, plan)
    }

    /// A world with a plan that is not drawn.
    #[cfg(test)]
    pub(super) fn planned(seed: u64, plan: Plan) -> Self {
        Self::with(seed, fastrand::Rng::with_seed(seed), plan)
    }

    fn with(seed: u64, mut rng: fastrand::Rng, plan: Plan) -> Self {
        let most = Duration::from_micros([100, 2_000, 10_000, 40_000][rng.usize(0..4)]);
        let broker = MemoryBroker::builder()
            .seed(rng.u64(..))
            .starting_at(EPOCH)
            .latency(most / 20, most)
            .build();
        let journal = Arc::new(Journal::new());
        broker.watch(journal.clone());
        broker.plan(&plan.faults);
        let contract = Contract::default();
        let yields = plan.yields;
        let (processes, databases) = (Vec::new(), Vec::new());
        let state = State { rng, yields, contract, processes, databases, crashes: 0, pending: 0 };
        let world = Self(Arc::new(Inner {
            seed,
            broker,
            journal,
            began: Instant::now(),
            calm: AtomicBool::new(false),
            state: Mutex::new(state),
            tasks: Mutex::default(),
        }));
        for (at, which, fault) in plan.databases {
            world.spawn(world.clone().fails(at, which, fault));
        }
        world.lock().pending = plan.ends.len();
        for end in plan.ends {
            world.spawn(world.clone().ends(end));
        }
        world
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A task of the world itself: it ends with the world.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let task = self.watched(task);
        self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner).spawn(task);
    }

    /// The task, whose panic is noted: nobody waits for it, and a panic must not look like its end.
    pub(super) fn watched(
        &self,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static {
        let world = self.clone();
        async move {
            if let Err(panic) = AssertUnwindSafe(task).catch_unwind().await {
                world.journal().panicked(&*panic);
            }
        }
    }

    /// What it was made from.
    pub fn seed(&self) -> u64 {
        self.0.seed
    }

    /// Its broker.
    pub fn broker(&self) -> &MemoryBroker {
        &self.0.broker
    }

    /// What has happened in it.
    pub fn journal(&self) -> &Arc<Journal> {
        &self.0.journal
    }

    /// Chance of one's own, drawn from the world's.
    pub fn rng(&self) -> fastrand::Rng {
        self.lock().rng.fork()
    }

    /// How long it has been there.
    pub fn age(&self) -> Duration {
        self.0.began.elapsed()
    }

    /// Says what a group is to do; the checks hold it to that.
    pub fn expect(&self, duties: Duties) {
        self.lock().contract.add(duties);
    }

    pub(super) fn contract(&self) -> Contract {
        self.lock().contract.clone()
    }

    pub(super) fn crashes(&self) -> usize {
        self.lock().crashes
    }

    /// A database of its own, which outlives processes and fails as the seed wants it. Processes get at
    /// it through [`Life::store`].
    pub fn database(&self) -> MemoryDatabase {
        let mut state = self.lock();
        let most = Duration::from_micros([0, 500, 5_000, 20_000][state.rng.usize(0..4)]);
        let database = MemoryDatabase::builder().seed(state.rng.u64(..)).starting_at(EPOCH);
        let database = database.latency(most / 10, most).build();
        let journal = self.0.journal.clone();
        database.on_end(Arc::new(move |ended| journal.note(What::Transaction(ended))));
        state.databases.push(database.clone());
        database
    }

    async fn fails(self, at: Duration, which: usize, fault: DatabaseFault) {
        sleep_until(self.0.began + at).await;
        let databases = self.lock().databases.clone();
        if !databases.is_empty() && !self.0.calm.load(Ordering::SeqCst) {
            databases[which % databases.len()].inject(fault);
        }
    }

    /// Starts a process, and starts it again after each of its ends.
    pub fn run(&self, process: Process) {
        let index = {
            let mut state = self.lock();
            state.processes.push(Running { process, life: None });
            state.processes.len() - 1
        };
        self.start(index);
    }

    fn start(&self, index: usize) {
        let (process, skew, rng, yields) = {
            let mut state = self.lock();
            let skew = if state.rng.bool() { 0 } else { state.rng.i64(-SKEW..=SKEW) };
            let process = state.processes[index].process.clone();
            (process, skew, state.rng.fork(), state.yields)
        };
        let config = process.config.clone().clock_skew(skew);
        let client = self.0.broker.connect(config).expect("a process has a name that is a source");
        let number = client.number();
        let pace = Pace::new(client.clone(), self.0.journal.clone(), rng, yields);
        let (name, group) = (process.name.clone(), process.group.clone());
        self.0.journal.note(What::Started { process: name, group, client: number, skew });
        let life = Life::new(client, self.clone(), pace);
        self.lock().processes[index].life = Some(life.clone());
        let (world, main) = (self.clone(), (process.main)(life.clone()));
        life.spawn(async move {
            if let Err(error) = main.await {
                let error = crate::error::chain(&*error);
                world.journal().note(What::GaveUp { client: number, error });
                world.spawn(world.clone().again(index, number));
            }
        });
    }

    /// A process that could not start, or had enough, is started again.
    async fn again(self, index: usize, client: Client) {
        if let Some(life) = self.take(index, Some(client)) {
            self.lock().pending += 1;
            life.pace.crash();
            life.end();
            sleep(Duration::from_secs(1)).await;
            self.lock().pending -= 1;
            self.start(index);
        }
    }

    /// Takes the life of a process, if it is alive, and the one that is meant.
    fn take(&self, index: usize, client: Option<Client>) -> Option<Life> {
        let mut state = self.lock();
        let life = &mut state.processes[index].life;
        let meant = |life: &mut Life| client.is_none_or(|client| life.number() == client);
        life.take_if(meant)
    }

    async fn ends(self, end: End) {
        sleep_until(self.0.began + end.at).await;
        let count = self.lock().processes.len();
        if count > 0 {
            let index = end.process % count;
            self.end_of(index, end.moment, end.drain, end.down).await;
            if let Some(polls) = end.again {
                self.end_of(index, Moment::Poll(polls), None, end.down).await;
            }
        }
        self.lock().pending -= 1;
    }

    /// Ends a process, if it is up, and starts it again.
    async fn end_of(&self, index: usize, moment: Moment, drain: Option<Duration>, down: Duration) {
        let Some(life) = self.life(index) else { return };
        // A process that has nothing to do is not waited for.
        let _ = timeout(PATIENCE, life.pace.moment(moment, drain.is_none())).await;
        life.pace.disarm();
        // Whoever ended it meanwhile starts it, too.
        let Some(life) = self.take(index, Some(life.number())) else { return };
        match drain {
            None => {
                self.lock().crashes += 1;
                life.pace.crash();
                life.end();
            }
            Some(drain) => drop(life.stop(drain).await),
        }
        drop(life);
        sleep(down).await;
        self.start(index);
    }

    pub(super) fn life(&self, index: usize) -> Option<Life> {
        self.lock().processes[index].life.clone()
    }

    /// Ends what goes wrong, and waits until nothing is left to do. Answers what is, if that takes
    /// too long.
    pub(super) async fn settle(&self) -> Vec<String> {
        // A process that gives up at each start is never done with starting.
        let started = Instant::now() + SETTLES;
        while self.lock().pending > 0 && Instant::now() < started {
            sleep(LOOK).await;
        }
        self.0.calm.store(true, Ordering::SeqCst);
        self.0.broker.heal();
        self.lock().databases.iter().for_each(MemoryDatabase::heal);
        self.0.journal.note(What::Calm);
        let longest = self.contract().groups().map(Duties::longest).max().unwrap_or_default();
        let deadline = Instant::now() + longest + SETTLES;
        loop {
            let left = self.left();
            if left.is_empty() || Instant::now() >= deadline {
                return left;
            }
            sleep(LOOK).await;
        }
    }

    /// What is still to be done.
    fn left(&self) -> Vec<String> {
        let backlog = self.0.broker.backlog();
        let mut left = Vec::new();
        if backlog.queued > 0 {
            left.push(format!("{} records wait in their producers", backlog.queued));
        }
        for (index, running) in self.lock().processes.iter().enumerate() {
            if running.life.is_none() {
                left.push(format!("process {index} is not up"));
            }
        }
        let contract = self.contract();
        for (index, database) in self.lock().databases.iter().enumerate() {
            let kept = database.kept_until(TIDIED);
            if kept > 0 {
                left.push(format!("database {index} keeps {kept} published events for too long"));
            }
            for (group, window) in
                contract.groups().filter_map(|of| Some((of.name(), of.remembers()?)))
            {
                let old = database.handled_before(group, window + TIDIED);
                if old > 0 {
                    left.push(format!(
                        "database {index} remembers {old} events that {group} handled before its window"
                    ));
                }
            }
            let Backlog { rows, delayed, parked, behind_parked, .. } = database.backlog();
            if rows + delayed + parked + behind_parked > 0 {
                left.push(format!(
                    "database {index} has {rows} events to publish, {delayed} that are delayed, and \
                     {parked} that are parked with {behind_parked} behind them"
                ));
            }
        }
        for Lag { group, partition, from, records, reader } in backlog.lag {
            left.push(format!(
                "{group} has {records} records left of {partition} from {from} on ({reader:?})"
            ));
        }
        left
    }

    /// Stops every process; answers those that left something behind.
    pub(super) async fn stop(&self) -> Vec<String> {
        let mut unclean = Vec::new();
        let count = self.lock().processes.len();
        for index in 0..count {
            if let Some(life) = self.take(index, None)
                && !life.stop(Duration::from_secs(5)).await
            {
                unclean.push(format!("process {index}, client {}", life.number()));
            }
        }
        self.0.tasks.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
        // They may hold this world, which would then never be freed.
        self.lock().processes.clear();
        unclean
    }
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").field("seed", &self.0.seed).finish_non_exhaustive()
    }
}
