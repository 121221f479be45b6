//! The handlers of the simulated services: what they do with an event is drawn from the seed.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidings::consumer::{ConsumerBuilder, Delivery, Event, Handled, HandlerError, Outcome};
use tidings::mapper::Events;
use tidings::testing::sim::World;
use tidings::testing::sim::journal::{Place, Promise, What};
use tokio::time::sleep;

use crate::events::*;

/// One service's handlers, and its database: what it counts survives its processes.
#[derive(Clone)]
pub struct Handlers(Arc<Inner>);

struct Inner {
    world: World,
    group: &'static str,
    timeout: Duration,
    /// How often a handler may fail before it goes well, drawn up to this.
    patience: u32,
    /// When the service's own world is down.
    outage: Option<(Duration, Duration)>,
    rng: Mutex<fastrand::Rng>,
    /// How often a handler was called for an event.
    calls: Mutex<BTreeMap<(&'static str, u64), u32>>,
}

/// What a handler does with an event, each time that it sees it.
enum Fate {
    Fine,
    Drops,
    Permanent,
    /// So often, in one of these ways, before it goes well.
    Fails(u32, Way),
}

enum Way {
    Error,
    Again,
    Panic,
    Hang,
}

impl Handlers {
    pub fn new(world: &World, group: &'static str, timeout: Duration, patience: u32) -> Self {
        let mut rng = world.rng();
        let outage = (rng.u8(0..4) == 0).then(|| {
            let from = Duration::from_millis(rng.u64(0..12_000));
            (from, from + Duration::from_millis(rng.u64(1..8_000)))
        });
        Self(Arc::new(Inner {
            world: world.clone(),
            group,
            timeout,
            patience,
            outage,
            rng: Mutex::new(rng),
            calls: Mutex::default(),
        }))
    }

    /// Adds a handler of `E` that answers what `follows` makes of it.
    pub fn add<E: Serial>(
        &self,
        builder: ConsumerBuilder,
        name: &'static str,
        follows: impl Fn(&E) -> Vec<Shipped> + Send + Sync + Clone + 'static,
    ) -> ConsumerBuilder {
        let handlers = self.clone();
        builder.handle_named(name, move |Event(event): Event<E>, delivery: Delivery| {
            let (handlers, follows) = (handlers.clone(), follows(&event));
            async move {
                let outcome = handlers.handle(name, event.serial()).await?;
                // One that is not done answers them too: they must not be published.
                if outcome == Outcome::Ack && !follows.is_empty() {
                    let place = Place::of(delivery.record());
                    let events = follows.iter().map(Promise::of).collect();
                    let (group, handler) = (handlers.0.group.to_owned(), name.to_owned());
                    let follows = What::Follows { group, place, handler, events };
                    handlers.0.world.journal().note(follows);
                }
                Ok::<_, HandlerError>(Handled { outcome, events: Events::one(follows) })
            }
        })
    }

    async fn handle(&self, name: &'static str, serial: u64) -> Result<Outcome, HandlerError> {
        let Inner { world, outage, timeout, calls, .. } = &*self.0;
        let (pauses, takes) = self.effort();
        for _ in 0..pauses {
            tokio::task::yield_now().await;
        }
        if !takes.is_zero() {
            sleep(takes).await;
        }
        if outage.is_some_and(|(from, until)| (from..until).contains(&world.age())) {
            return Err(HandlerError::outage("the database is away"));
        }
        let call = {
            let mut calls = calls.lock().unwrap();
            let call = calls.entry((name, serial)).or_default();
            *call += 1;
            *call
        };
        match self.fate(name, serial) {
            Fate::Drops => Ok(Outcome::Drop { reason: "not worth it".into() }),
            Fate::Permanent => Err(HandlerError::permanent("never")),
            Fate::Fails(times, way) if call <= times => match way {
                Way::Error => Err(HandlerError::transient("not yet")),
                Way::Again => Ok(Outcome::Retry { reason: "not yet".into() }),
                Way::Panic => std::panic::resume_unwind(Box::new("a bug")),
                Way::Hang => {
                    sleep(*timeout * 3).await;
                    Ok(Outcome::Ack)
                }
            },
            _ => Ok(Outcome::Ack),
        }
    }

    /// How often it lets others go first, and how long it takes.
    fn effort(&self) -> (u8, Duration) {
        let mut rng = self.0.rng.lock().unwrap();
        let takes = match rng.u8(0..8) {
            0..=2 => 0,
            3..=6 => rng.u64(0..30_000),
            _ => rng.u64(0..400_000),
        };
        (rng.u8(0..3), Duration::from_micros(takes))
    }

    fn fate(&self, name: &str, serial: u64) -> Fate {
        let mut hasher = DefaultHasher::new();
        (self.0.world.seed(), self.0.group, name, serial).hash(&mut hasher);
        let mut rng = fastrand::Rng::with_seed(hasher.finish());
        let times = rng.u32(1..=self.0.patience.max(1));
        match rng.u8(0..40) {
            0 => Fate::Drops,
            1 | 2 => Fate::Permanent,
            3..=7 => Fate::Fails(times, Way::Error),
            8 => Fate::Fails(times, Way::Again),
            9 => Fate::Fails(times, Way::Panic),
            10 => Fate::Fails(1, Way::Hang),
            _ => Fate::Fine,
        }
    }
}
