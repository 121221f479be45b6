//! The service that publishes: commands through a mediator, and events directly.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidings::Command;
use tidings::error::BoxError;
use tidings::event::{Envelope, IntegrationEvent};
use tidings::mapper::EventMapper;
use tidings::mediator::{Context, Mediator, RequestHandler, SendError, Unpublished};
use tidings::publisher::Publisher;
use tidings::testing::sim::journal::{Promise, What};
use tidings::testing::sim::{Life, World};
use tokio::time::sleep;

use crate::events::*;

/// Something for the shop to do.
#[derive(Debug, Clone)]
pub enum Job {
    Buy(Buy),
    One(Placed),
    Ticks(Vec<Ticked>),
    Strange(Strange),
    Garbled(Garbled),
}

#[derive(Debug, Clone, Command)]
#[request(response = u64, error = Refused)]
pub struct Buy {
    pub key: String,
    pub serial: u64,
    pub paid: u64,
    /// It raises its events and then fails.
    pub refused: bool,
}

#[derive(Debug)]
pub struct Refused;

struct Till;

impl RequestHandler<Buy> for Till {
    async fn handle(&self, buy: Buy, cx: &mut Context) -> Result<u64, Refused> {
        cx.raise(Counted);
        cx.raise(Bought { key: buy.key.clone(), serial: buy.serial });
        tokio::task::yield_now().await;
        let serials = buy.serials().collect();
        cx.raise(Settled { key: buy.key, serials });
        if buy.refused { Err(Refused) } else { Ok(buy.serial) }
    }
}

impl Buy {
    fn serials(&self) -> impl Iterator<Item = u64> + use<> {
        let serial = self.serial;
        (1..=self.paid).map(move |n| serial + n)
    }

    fn promises(&self) -> Vec<Promise> {
        let placed = Promise::of(&Placed { key: self.key.clone(), serial: self.serial });
        let paid =
            self.serials().map(|serial| Promise::of(&Paid { key: self.key.clone(), serial }));
        std::iter::once(placed).chain(paid).collect()
    }
}

/// What is to be done yet. It survives the shop's processes; what one of them has begun does not.
#[derive(Clone, Default)]
pub struct Jobs(Arc<Mutex<(VecDeque<Job>, usize)>>);

/// Counts a job that is being done, until it is dropped.
struct Doing(Jobs);

impl Drop for Doing {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().1 -= 1;
    }
}

impl Jobs {
    /// So many jobs with these keys.
    pub fn drawn(rng: &mut fastrand::Rng, count: u64, keys: u64) -> Self {
        let draw = |serial: u64| {
            let (key, serial) = (format!("k{}", rng.u64(0..keys)), serial * 10);
            match rng.u8(0..10) {
                0..=5 => {
                    let (paid, refused) = (rng.u64(0..3), rng.u8(0..8) == 0);
                    Job::Buy(Buy { key, serial, paid, refused })
                }
                6 | 7 => Job::One(Placed { key, serial }),
                8 => {
                    let ticks = rng.u64(1..5);
                    Job::Ticks((0..ticks).map(|n| Ticked { serial: serial + n }).collect())
                }
                _ if rng.bool() => Job::Strange(Strange { key, serial }),
                _ => Job::Garbled(Garbled { key, number: serial }),
            }
        };
        Self(Arc::new(Mutex::new(((0..count).map(draw).collect(), 0))))
    }

    fn next(&self) -> Option<(Job, Doing)> {
        let mut jobs = self.0.lock().unwrap();
        let job = jobs.0.pop_front()?;
        jobs.1 += 1;
        Some((job, Doing(self.clone())))
    }

    pub fn are_done(&self) -> bool {
        let jobs = self.0.lock().unwrap();
        jobs.0.is_empty() && jobs.1 == 0
    }
}

/// What a process of the shop does.
pub async fn run(life: Life, jobs: Jobs, pause: u64) -> Result<(), BoxError> {
    let publisher = Publisher::new(&life.client);
    let mapper = EventMapper::builder()
        .map::<Bought, Placed>()
        .map_with(|event: &Settled| {
            let paid = |serial: &u64| Paid { key: event.key.clone(), serial: *serial };
            event.serials.iter().map(paid).collect::<Vec<_>>()
        })
        .ignore::<Counted>()
        .build()?;
    let mediator = Mediator::builder().handler(Till).build()?;
    let shop = mediator.publishing(mapper, publisher.clone());
    let mut rng = life.world.rng();
    while let Some((job, doing)) = jobs.next() {
        sleep(Duration::from_millis(rng.u64(0..=pause))).await;
        let (world, shop, publisher) = (life.world.clone(), shop.clone(), publisher.clone());
        let work = async move {
            match job {
                Job::Buy(buy) => {
                    bought(&world, &publisher, &buy, shop.send(buy.clone()).await).await
                }
                Job::One(event) => one(&world, &publisher, event).await,
                Job::Strange(event) => one(&world, &publisher, event).await,
                Job::Garbled(event) => one(&world, &publisher, event).await,
                Job::Ticks(events) => all(&world, &publisher, events).await,
            }
            drop(doing);
        };
        // Sometimes side by side with the next one.
        if rng.bool() { life.spawn(work) } else { work.await }
    }
    Ok(())
}

async fn bought(
    world: &World,
    publisher: &Publisher,
    buy: &Buy,
    answer: Result<u64, SendError<Buy>>,
) {
    let promises = buy.promises();
    match answer {
        Ok(_) => promised(world, promises, 1),
        Err(SendError::Handler(Refused)) => world.journal().note(What::Forbidden(promises)),
        Err(SendError::Unpublished(unpublished)) => {
            let left = reported(&unpublished.events);
            let sent = promises.into_iter().filter(|event| !left.contains(event)).collect();
            promised(world, sent, 1);
            again(world, publisher, *unpublished, left).await;
        }
        Err(other) => panic!("{}", other.kind()),
    }
}

/// Publishes what is left until it is published.
async fn again(
    world: &World,
    publisher: &Publisher,
    mut unpublished: Unpublished<u64>,
    mut left: Vec<Promise>,
) {
    for tries in 2.. {
        sleep(Duration::from_millis(500)).await;
        match unpublished.retry(publisher).await {
            Ok(_) => return promised(world, left, tries),
            Err(again) => {
                let still = reported(&again.events);
                let sent = left.into_iter().filter(|event| !still.contains(event)).collect();
                promised(world, sent, tries);
                (unpublished, left) = (again, still);
            }
        }
    }
}

async fn one<E: IntegrationEvent + Clone>(world: &World, publisher: &Publisher, event: E) {
    for tries in 1.. {
        if publisher.publish(event.clone()).await.is_ok() {
            return promised(world, vec![Promise::of(&event)], tries);
        }
        sleep(Duration::from_millis(500)).await;
    }
}

async fn all(world: &World, publisher: &Publisher, events: Vec<Ticked>) {
    let promises: Vec<_> = events.iter().map(Promise::of).collect();
    match publisher.publish_all(events).await {
        Ok(_) => promised(world, promises, 1),
        Err(failure) => {
            let left = reported(&failure.unpublished);
            promised(world, promises.into_iter().filter(|e| !left.contains(e)).collect(), 1);
        }
    }
}

/// What a failure says was not published.
fn reported(events: &[Envelope]) -> Vec<Promise> {
    let promise = |envelope: &Envelope| Promise {
        topic: envelope.topic.clone(),
        key: envelope.key.as_ref().map(|key| key.as_str().as_bytes().to_vec().into()),
        payload: envelope.event.payload.clone(),
    };
    events.iter().map(promise).collect()
}

fn promised(world: &World, events: Vec<Promise>, tries: u32) {
    if !events.is_empty() {
        world.journal().note(What::Promised { events, tries });
    }
}
