//! The simulated system: a shop that publishes, and services that consume, as the seed wants them.

use std::time::Duration;

use tidings::consumer::{Consumer, ConsumerBuilder, Order, TopicSetup};
use tidings::error::BoxError;
use tidings::retry::{Backoff, RetryPolicy};
use tidings::testing::sim::contract::Duties;
use tidings::testing::sim::{Life, Process, World};
use tidings::transport::memory::{MemoryConfig, TopicConfig};
use tokio::time::sleep;

use crate::events::*;
use crate::handlers::Handlers;
use crate::shop::{self, Jobs};
use crate::stored;

/// Starts everything, and returns when the shop has nothing left to do.
pub async fn simulate(world: World) {
    let mut rng = world.rng();
    for name in ["orders", "parcels", "ticks", "users", "mails", "reminders"] {
        let mut config = TopicConfig::default();
        config.partitions = rng.i32(1..=4);
        config.append_time = rng.bool();
        world.broker().create_topic(topic(name), config);
    }
    let mut config = TopicConfig::default();
    config.max_record = stored::LONGEST_LETTER;
    world.broker().create_topic(topic("letters"), config);
    let (count, keys, pause) = (rng.u64(5..=30), rng.u64(1..=6), rng.u64(0..=800));
    let jobs = Jobs::drawn(&mut rng, count, keys);
    for group in ["billing", "mail"] {
        if group == "billing" || rng.bool() {
            Group::drawn(&world, group, &mut rng).run(&world, &mut rng);
        }
    }
    for n in 0..rng.usize(1..=2) {
        let jobs = jobs.clone();
        let main = move |life| shop::run(life, jobs.clone(), pause);
        world.run(Process::new(format!("shop-{n}"), client("shop", &mut rng), main));
    }
    // Every other world has databases.
    let stored = rng.bool().then(|| stored::start(&world, &mut rng));
    while !(jobs.are_done() && stored.as_ref().is_none_or(stored::Work::is_done)) {
        sleep(Duration::from_millis(250)).await;
    }
}

/// How a service consumes.
#[derive(Clone)]
struct Group {
    name: &'static str,
    handlers: Handlers,
    retry: RetryPolicy,
    order: Order,
    concurrency: usize,
    members: usize,
    timeout: Duration,
    drain: Duration,
    config: MemoryConfig,
}

impl Group {
    fn drawn(world: &World, name: &'static str, rng: &mut fastrand::Rng) -> Self {
        let all = [40, 200, 1_000, 3_000, 8_000].map(Duration::from_millis);
        let tiers = all.into_iter().filter(|_| rng.u8(0..3) == 0).take(3);
        let retry = RetryPolicy::tiers(tiers)
            .immediate(rng.u32(0..3))
            .backoff(Backoff::exponential(Duration::from_millis(20)).jitter(true));
        let patience = (retry.immediate + 1) * (u32::try_from(retry.tiers.len()).unwrap() + 1) + 1;
        let timeout = Duration::from_millis(rng.u64(450..2_000));
        let order = if rng.u8(0..4) == 0 { Order::ByPartition } else { Order::ByKey };
        Self {
            name,
            handlers: Handlers::new(world, name, timeout, patience),
            retry,
            order,
            concurrency: rng.usize(1..=8),
            members: rng.usize(1..=2),
            timeout,
            drain: Duration::from_millis(rng.u64(50..2_500)),
            config: client(name, rng),
        }
    }

    fn run(self, world: &World, rng: &mut fastrand::Rng) {
        world.expect(self.duties().expect("the simulation's tiers are sound"));
        for n in 0..rng.usize(1..=3) {
            let group = self.clone();
            let main = move |life| group.clone().consume(life);
            let process = Process::new(format!("{}-{n}", self.name), self.config.clone(), main);
            world.run(process.consumes(self.name));
        }
    }

    async fn consume(self, life: Life) -> Result<(), BoxError> {
        let builder = Consumer::builder(self.name)
            .retry(self.retry)
            .order(self.order)
            .concurrency(self.concurrency)
            .members(self.members)
            .handler_timeout(self.timeout)
            .revoke_drain(self.drain)
            .topics(TopicSetup::Create { partitions: None, replication: None });
        let builder = handled(self.name, &self.handlers, builder);
        life.consume(builder.build(&life.client)?).await
    }

    fn duties(&self) -> Result<Duties, BoxError> {
        let duties = Duties::new(self.name, self.order, self.retry.clone());
        Ok(match self.name {
            "billing" => duties
                .handles(topic("orders"), "placed", "charge")?
                .handles(topic("orders"), "placed", "score")?
                .handles(topic("orders"), "paid", "book")?
                .handles(topic("ticks"), "ticked", "count")?,
            _ => duties
                .handles(topic("orders"), "placed", "welcome")?
                .ignores(topic("orders"), "paid")?
                .handles(topic("parcels"), "shipped", "track")?,
        })
    }
}

/// The same as `duties`, as a consumer is told it.
fn handled(group: &str, handlers: &Handlers, builder: ConsumerBuilder) -> ConsumerBuilder {
    if group == "billing" {
        let builder = handlers.add(builder, "charge", |_: &Placed| Vec::new());
        let builder = handlers.add(builder, "score", |_: &Placed| Vec::new());
        let builder = handlers.add(builder, "book", |paid: &Paid| {
            let parcels = paid.serial % 3;
            let ship = |n| Shipped { key: paid.key.clone(), serial: paid.serial * 10 + n };
            (0..parcels).map(ship).collect()
        });
        handlers.add(builder, "count", |_: &Ticked| Vec::new())
    } else {
        let builder = handlers.add(builder, "welcome", |_: &Placed| Vec::new());
        handlers.add(builder, "track", |_: &Shipped| Vec::new()).ignore::<Paid>()
    }
}

pub fn client(service: &str, rng: &mut fastrand::Rng) -> MemoryConfig {
    let every = Duration::from_millis(rng.u64(10..600));
    MemoryConfig::new(service)
        .session_timeout(Duration::from_millis(rng.u64(1_500..8_000)))
        .fetch(rng.usize(1..=20))
        .prefetch(rng.usize(1..=40))
        .commit_every(rng.u64(1..=20), every)
        .queue(rng.usize(1..=200))
        .send_wait(Duration::from_secs(2))
        .delivery_wait(Duration::from_secs(rng.u64(3..12)))
}
