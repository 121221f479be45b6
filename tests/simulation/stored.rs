//! Services with databases: one stores its events with its users, one handles each of them exactly once.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::TimeDelta;
use tidings::consumer::{Consumer, Event, HandlerError, Order, TopicSetup, Tx};
use tidings::error::BoxError;
use tidings::event::IntegrationEvent;
use tidings::inbox::Inbox;
use tidings::mapper::{EventMapper, Events};
use tidings::mediator::{Context, InTransaction, Mediator, RequestHandler, SendError};
use tidings::outbox::{Outbox, Relay};
use tidings::retry::{Backoff, RetryPolicy};
use tidings::store::{Claim, OutboxStore, StoreError};
use tidings::testing::MemoryDatabase;
use tidings::testing::database::{Claimed, MemoryStore, MemoryTransaction};
use tidings::testing::sim::contract::Duties;
use tidings::testing::sim::journal::{Promise, What};
use tidings::testing::sim::{Life, Process, World};
use tidings::transport::Transport;
use tidings::{Command, DomainEvent, IntegrationEvent as Derive};
use tokio::time::sleep;

use crate::services::client;

const DESK: &str = "desk";
const MAILER: &str = "mailer";
/// How long the mailer remembers: longer than its retries, and any world, take.
const WINDOW: Duration = Duration::from_secs(900);

#[derive(Debug, Clone, serde::Serialize, serde::Deserialize, Derive)]
#[event(name = "joined", topic = "users", key = key)]
pub struct Joined {
    pub key: String,
    pub serial: u64,
}

#[derive(Debug, Clone, serde::Serialize, serde::Deserialize, Derive)]
#[event(name = "renamed", topic = "users", key = key)]
pub struct Renamed {
    pub key: String,
    pub serial: u64,
}

/// Delayed.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize, Derive)]
#[event(name = "reminded", topic = "reminders", key = key)]
pub struct Reminded {
    pub key: String,
    pub serial: u64,
}

/// Some are longer than the broker takes, until somebody makes room for them.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize, Derive)]
#[event(name = "lettered", topic = "letters", key = key)]
pub struct Lettered {
    pub key: String,
    pub serial: u64,
    pub text: String,
}

/// The largest record of a letter at first, in bytes: a short one fits, a long one does not.
pub const LONGEST_LETTER: usize = 1_000;
const LONG: usize = 2_000;

/// What the mailer answers.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize, Derive)]
#[event(name = "mailed", topic = "mails", key = key)]
pub struct Mailed {
    pub key: String,
    pub serial: u64,
}

/// What the desk's domain says.
#[derive(Debug, DomainEvent)]
struct Registered {
    key: String,
    serial: u64,
    renamed: u64,
    letter: Option<usize>,
}

/// A user comes, under one name or more.
#[derive(Debug, Clone, Command)]
#[request(response = (), error = Failed)]
struct Register {
    key: String,
    serial: u64,
    renamed: u64,
    /// A letter of so many characters.
    letter: Option<usize>,
    reminds: Option<Duration>,
    takes: Duration,
    /// It writes, raises its events, and then fails.
    refused: bool,
}

#[derive(Debug)]
enum Failed {
    Refused,
    Database,
}

impl From<StoreError> for Failed {
    fn from(_: StoreError) -> Self {
        Self::Database
    }
}

impl Register {
    fn promises(&self) -> Vec<Promise> {
        let Self { key, serial, renamed, letter, .. } = self;
        let joined = Promise::of(&Joined { key: key.clone(), serial: *serial });
        let renamed =
            (1..=*renamed).map(|n| Promise::of(&Renamed { key: key.clone(), serial: serial + n }));
        let letter = letter.map(|long| Promise::of(&Lettered::new(key, *serial, long)));
        std::iter::once(joined).chain(renamed).chain(letter).collect()
    }
}

impl Lettered {
    fn new(key: &str, serial: u64, long: usize) -> Self {
        Self { key: key.to_owned(), serial, text: "x".repeat(long) }
    }
}

/// Writes the user's row, which keeps transactions of one user apart.
struct Desk {
    database: MemoryDatabase,
    outbox: Outbox<MemoryStore>,
}

impl RequestHandler<Register> for Desk {
    async fn handle(&self, command: Register, cx: &mut Context) -> Result<(), Failed> {
        let Register { key, serial, renamed, letter, reminds, takes, refused } = command;
        let user = format!("user/{key}");
        let transaction = cx.get_mut::<MemoryTransaction>().expect("the behaviour opens one");
        transaction.lock(&user).await?;
        let known = transaction.get(&user).await?.unwrap_or_default();
        if known.split(' ').any(|known| known == serial.to_string()) {
            // It was committed, and its answer lost.
            return Ok(());
        }
        sleep(takes).await;
        transaction.put(&user, format!("{known} {serial}")).await?;
        transaction.effect(format!("desk/{serial}")).await?;
        if let Some(later) = reminds {
            let at = self.database.now() + TimeDelta::from_std(later).unwrap();
            let event = Reminded { key: key.clone(), serial };
            let stored = self.outbox.add_later(transaction, event, at).await;
            stored.map_err(|_| Failed::Database)?;
        }
        cx.raise(Registered { key, serial, renamed, letter });
        if refused { Err(Failed::Refused) } else { Ok(()) }
    }
}

/// What is to be done. It survives the desk's processes: what one of them had begun when it died is
/// begun again.
#[derive(Clone)]
pub struct Work(Arc<Mutex<Vec<(Register, State)>>>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Begun,
    Done,
}

/// A command that is being done, until it is dropped.
struct Doing {
    work: Work,
    index: usize,
    command: Register,
}

impl Doing {
    fn is(&self, state: State) {
        self.work.0.lock().unwrap()[self.index].1 = state;
    }
}

impl Drop for Doing {
    fn drop(&mut self) {
        let mut work = self.work.0.lock().unwrap();
        let state = &mut work[self.index].1;
        if *state == State::Begun {
            *state = State::Open;
        }
    }
}

impl Work {
    fn drawn(rng: &mut fastrand::Rng) -> Self {
        let (count, keys) = (rng.u64(3..=15), rng.u64(1..=4));
        let mut command = |n: u64| Register {
            key: format!("u{}", rng.u64(0..keys)),
            serial: (n + 1) * 10,
            renamed: rng.u64(0..3),
            letter: (rng.u8(0..3) == 0).then(|| if rng.bool() { LONG } else { 1 }),
            reminds: (rng.u8(0..4) == 0).then(|| Duration::from_millis(rng.u64(0..20_000))),
            takes: Duration::from_micros(rng.u64(0..200_000)),
            refused: rng.u8(0..8) == 0,
        };
        Self(Arc::new(Mutex::new((0..count).map(|n| (command(n), State::Open)).collect())))
    }

    fn next(&self) -> Option<Doing> {
        let mut work = self.0.lock().unwrap();
        let index = work.iter().position(|(_, state)| *state == State::Open)?;
        work[index].1 = State::Begun;
        Some(Doing { work: self.clone(), index, command: work[index].0.clone() })
    }

    pub fn is_done(&self) -> bool {
        self.0.lock().unwrap().iter().all(|(_, state)| *state == State::Done)
    }
}

/// Starts both services; answers what the desk has to do.
pub fn start(world: &World, rng: &mut fastrand::Rng) -> Work {
    let work = Work::drawn(rng);
    let desk = world.database();
    let mailbox = if rng.bool() { desk.clone() } else { world.database() };
    let pause = rng.u64(0..=800);
    for n in 0..rng.usize(1..=2) {
        let (work, database, relay) = (work.clone(), desk.clone(), relay(rng));
        let main = move |life| run(life, database.clone(), work.clone(), pause, relay);
        world.run(Process::new(format!("{DESK}-{n}"), client(DESK, rng), main));
    }
    let (room_at, pause) = (Duration::from_millis(rng.u64(0..12_000)), rng.u64(300..=2_000));
    let parked = desk.clone();
    let main = move |life| people(life, parked.clone(), room_at, pause);
    world.run(Process::new("people", client(DESK, rng), main));
    let mailer = Mailer::drawn(world, mailbox, rng);
    world.expect(mailer.duties());
    for n in 0..rng.usize(1..=2) {
        let (mailer, relay) = (mailer.clone(), relay(rng));
        let main = move |life| mailer.clone().run(life, relay);
        let process = Process::new(format!("{MAILER}-{n}"), client(MAILER, rng), main);
        world.run(process.consumes(MAILER));
    }
    work
}

#[derive(Clone, Copy)]
struct RelaySettings {
    batch: usize,
    in_flight: usize,
    lease: Duration,
    poll: Duration,
    park_after: u32,
    keep: Duration,
}

fn relay(rng: &mut fastrand::Rng) -> RelaySettings {
    RelaySettings {
        batch: rng.usize(1..=10),
        in_flight: rng.usize(1..=3),
        lease: Duration::from_millis(rng.u64(1_000..6_000)),
        poll: Duration::from_millis(rng.u64(50..1_000)),
        park_after: rng.u32(1..=4),
        keep: Duration::from_secs([0, 1, 3_600][rng.usize(0..3)]),
    }
}

fn start_relay(life: &Life, store: &MemoryStore, settings: RelaySettings) -> Result<(), BoxError> {
    let RelaySettings { batch, in_flight, lease, poll, park_after, keep } = settings;
    let relay = Relay::builder(store.clone()).batch(batch).in_flight(in_flight).keep(keep);
    let relay = relay.lease(lease).poll(poll).park_after(park_after);
    life.relay(relay.build(&life.client)?);
    Ok(())
}

/// People who look after what is parked: they release it, in vain until there is room for it.
async fn people(
    life: Life,
    database: MemoryDatabase,
    room_at: Duration,
    pause: u64,
) -> Result<(), BoxError> {
    let (store, mut rng) = (life.store(&database), life.world.rng());
    let world = life.world.clone();
    life.spawn(async move {
        loop {
            sleep(Duration::from_millis(rng.u64(100..=pause))).await;
            let room = world.age() >= room_at;
            if room {
                world.broker().set_max_record(&Lettered::topics()[0], 1 << 20);
            }
            // Whatever fails is done again.
            for parked in store.parked(100).await.unwrap_or_default() {
                if room || rng.u8(0..4) == 0 {
                    drop(store.release(parked.row).await);
                }
            }
        }
    });
    Ok(())
}

/// What a process of the desk does.
async fn run(
    life: Life,
    database: MemoryDatabase,
    work: Work,
    pause: u64,
    relay: RelaySettings,
) -> Result<(), BoxError> {
    let store = life.store(&database);
    let outbox = Outbox::new(store.clone(), life.client.service().clone());
    start_relay(&life, &store, relay)?;
    let mapper = EventMapper::builder()
        .map_with(|event: &Registered| {
            let renamed = |n| Renamed { key: event.key.clone(), serial: event.serial + n };
            let renamed: Vec<_> = (1..=event.renamed).map(renamed).collect();
            let letter = event.letter.map(|long| Lettered::new(&event.key, event.serial, long));
            let joined = Joined { key: event.key.clone(), serial: event.serial };
            Events::one(joined).and(renamed).and(letter)
        })
        .build()?;
    let mediator = Mediator::builder()
        .behaviour(InTransaction(outbox.clone()))
        .handler(Desk { database, outbox: outbox.clone() })
        .build()?;
    let desk = mediator.storing(mapper, outbox);
    let mut rng = life.world.rng();
    while let Some(doing) = work.next() {
        sleep(Duration::from_millis(rng.u64(0..=pause))).await;
        let (world, desk) = (life.world.clone(), desk.clone());
        let work = async move {
            loop {
                match desk.send(doing.command.clone()).await {
                    Ok(()) => break,
                    Err(SendError::Handler(Failed::Refused)) => {
                        let refused = What::Forbidden(doing.command.promises());
                        world.journal().note(refused);
                        break;
                    }
                    // The answer of its commit may be lost: asked again, the desk knows.
                    Err(_) => sleep(Duration::from_millis(300)).await,
                }
            }
            doing.is(State::Done);
        };
        if rng.bool() { life.spawn(work) } else { work.await }
    }
    Ok(())
}

/// The service that handles each event exactly once.
#[derive(Clone)]
struct Mailer {
    seed: u64,
    database: MemoryDatabase,
    retry: RetryPolicy,
    order: Order,
    concurrency: usize,
    offsets: bool,
    rng: Arc<Mutex<fastrand::Rng>>,
}

impl Mailer {
    fn drawn(world: &World, database: MemoryDatabase, rng: &mut fastrand::Rng) -> Self {
        let long_ago = database.now() - TimeDelta::days(1);
        let old = (0..rng.u32(0..1_500)).map(|n| {
            let (handler, event) = ("welcome", &*format!("old {n}"));
            Claimed::from(&Claim { group: MAILER, handler, source: DESK, event })
        });
        database.was_handled(old, long_ago);
        database.was_kept(rng.usize(0..30), long_ago);
        let tiers = [100, 1_000, 4_000].map(Duration::from_millis);
        let tiers = tiers.into_iter().filter(|_| rng.u8(0..3) == 0);
        Self {
            seed: world.seed(),
            database,
            retry: RetryPolicy::tiers(tiers)
                .immediate(rng.u32(0..3))
                .backoff(Backoff::exponential(Duration::from_millis(20)).jitter(true)),
            order: if rng.u8(0..4) == 0 { Order::ByPartition } else { Order::ByKey },
            concurrency: rng.usize(1..=8),
            offsets: rng.bool(),
            rng: Arc::new(Mutex::new(world.rng())),
        }
    }

    fn duties(&self) -> Duties {
        let duties = Duties::new(MAILER, self.order, self.retry.clone()).once().window(WINDOW);
        let duties = duties.event::<Joined>("welcome").unwrap();
        duties.event::<Renamed>("update").unwrap()
    }

    async fn run(self, life: Life, relay: RelaySettings) -> Result<(), BoxError> {
        let store = life.store(&self.database);
        let outbox = Outbox::new(store.clone(), life.client.service().clone());
        start_relay(&life, &store, relay)?;
        let inbox = Inbox::new(outbox).window(WINDOW);
        let inbox = if self.offsets { inbox.offsets_in_database() } else { inbox };
        let builder = Consumer::builder(MAILER)
            .handler_timeout(Duration::from_secs(2))
            .retry(self.retry.clone())
            .order(self.order)
            .concurrency(self.concurrency)
            .inbox(inbox)
            .topics(TopicSetup::Create { partitions: None, replication: None });
        let (welcome, update) = (self.clone(), self);
        let builder = builder
            .handle_named("welcome", move |Event(joined): Event<Joined>, tx: Tx<MemoryStore>| {
                let mailer = welcome.clone();
                async move {
                    mailer.mail("welcome", joined.serial, tx).await?;
                    Ok::<_, HandlerError>(Mailed { key: joined.key, serial: joined.serial })
                }
            })
            .handle_named("update", move |Event(renamed): Event<Renamed>, tx: Tx<MemoryStore>| {
                let mailer = update.clone();
                async move { mailer.mail("update", renamed.serial, tx).await }
            });
        life.consume(builder.build(&life.client)?).await
    }

    async fn mail(
        &self,
        handler: &str,
        serial: u64,
        mut tx: Tx<MemoryStore>,
    ) -> Result<(), HandlerError> {
        let (takes, fails) = {
            let mut rng = self.rng.lock().unwrap();
            (Duration::from_micros(rng.u64(0..60_000)), rng.u8(0..12))
        };
        sleep(takes / 2).await;
        tx.effect(format!("{handler}/{serial}")).await?;
        sleep(takes / 2).await;
        match fails {
            0 => Err(HandlerError::transient("after it wrote")),
            1 => Err(HandlerError::outage("the mail server is away")),
            _ if self.never(handler, serial) => Err(HandlerError::permanent("no such address")),
            _ => Ok(()),
        }
    }

    fn never(&self, handler: &str, serial: u64) -> bool {
        let mut hasher = DefaultHasher::new();
        (self.seed, handler, serial).hash(&mut hasher);
        hasher.finish().is_multiple_of(16)
    }
}
