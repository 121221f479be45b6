//! What the mediator and the mapper cost: over a direct call, and over a hand-written `From`.
//!
//! Exits with 1 when a dispatch costs more than [`OVER_NS`] or one allocation over a direct call,
//! or a mapping allocates more than its hand-written twin.
#![allow(missing_docs, reason = "a benchmark has no users")]

mod support;

use std::convert::Infallible;
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::process::ExitCode;
use std::task::{Poll, Waker};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use support::allocations::{Counting, per_call};
use support::{Arm, Comparison, Rounds};
use tidings::codec::{AnyIntegrationEvent, Format};
use tidings::event::{DomainEvent, Envelope, Flow, Source};
use tidings::mapper::{EventMapper, Raised};
use tidings::mediator::{
    Behaviour, Context, Mediator, Next, Request, RequestHandler, SendError, Timeout, Tracing,
    Validation,
};

#[global_allocator]
static COUNTING: Counting = Counting;

/// Many short rounds: on a busy machine most of them still run undisturbed, and the median is one of those.
const ROUNDS: usize = 301;
const CALLS: u32 = 5_000;
const OVER_NS: f64 = 60.0;

struct Ask {
    id: u128,
    page: u64,
}

impl Request for Ask {
    type Response = u64;
    type Error = Infallible;
}

struct Answer;

impl RequestHandler<Ask> for Answer {
    async fn handle(&self, request: Ask, _: &mut Context) -> Result<u64, Infallible> {
        Ok(black_box(request.id as u64 ^ request.page))
    }
}

/// Other requests, so that the look-up is one among many.
struct Other<const N: usize>;

impl<const N: usize> Request for Other<N> {
    type Response = ();
    type Error = Infallible;
}

impl<const N: usize> RequestHandler<Other<N>> for Answer {
    async fn handle(&self, _: Other<N>, _: &mut Context) -> Result<(), Infallible> {
        Ok(())
    }
}

struct Through<const N: usize>;

impl<const N: usize> Behaviour for Through<N> {
    async fn handle<R: Request>(
        &self,
        request: R,
        cx: &mut Context,
        next: impl Next<R>,
    ) -> Result<R::Response, SendError<R>> {
        black_box(N);
        next.run(request, cx).await
    }
}

type All = (Ask, Other<1>, Other<2>, Other<3>, Other<4>, Other<5>, Other<6>, Other<7>);

/// A handler behind a trait object: the least that a dispatch by type can cost.
trait Boxed {
    fn handle<'a>(&'a self, request: Ask, cx: &'a mut Context) -> Answering<'a>;
}

type Answering<'a> = Pin<Box<dyn Future<Output = Result<u64, Infallible>> + Send + 'a>>;

impl Boxed for Answer {
    fn handle<'a>(&'a self, request: Ask, cx: &'a mut Context) -> Answering<'a> {
        Box::pin(RequestHandler::handle(self, request, cx))
    }
}

fn ask() -> Ask {
    black_box(Ask { id: 7 << 64 | 1, page: 3 })
}

/// A future that never waits, to its end. Inlined, so that no arm pays for being moved into it.
#[inline(always)]
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut std::task::Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("nothing here waits"),
    }
}

#[derive(Debug)]
struct UserRegistered {
    id: u128,
    email: String,
    name: String,
}

impl DomainEvent for UserRegistered {}

#[derive(Serialize, Deserialize)]
struct UserCreated {
    id: u128,
    email: String,
    name: String,
}

impl tidings::IntegrationEvent for UserCreated {
    const NAME: &'static str = "user_created";

    fn topics() -> Vec<tidings::event::TopicName> {
        vec![]
    }

    fn topic(&self) -> tidings::event::TopicName {
        tidings::event::TopicName::from_static("users")
    }
}

impl From<&UserRegistered> for UserCreated {
    fn from(event: &UserRegistered) -> Self {
        Self { id: event.id, email: event.email.clone(), name: event.name.clone() }
    }
}

fn registered() -> UserRegistered {
    UserRegistered { id: 7, email: "ada@example.org".to_owned(), name: "Ada Lovelace".to_owned() }
}

fn dispatch() -> bool {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let _within = runtime.enter(); // for the timer of `Timeout`
    let answer = black_box(Answer);
    let bare = Mediator::builder().handlers::<All, _>(Answer).build().expect("one handler each");
    let three = Mediator::builder()
        .behaviour(Through::<1>)
        .behaviour(Through::<2>)
        .behaviour(Through::<3>)
        .handlers::<All, _>(Answer)
        .build()
        .expect("one handler each");
    let built_in = Mediator::builder()
        .behaviour(Tracing)
        .behaviour(Validation)
        .behaviour(Timeout(Duration::from_secs(60)))
        .handlers::<All, _>(Answer)
        .build()
        .expect("one handler each");

    let boxed: Box<dyn Boxed> = black_box(Box::new(Answer));

    let direct = || {
        let _ =
            black_box(ready(RequestHandler::<Ask>::handle(&answer, ask(), &mut Context::new())));
    };
    let dynamic = || {
        let _ = black_box(ready(boxed.handle(ask(), &mut Context::new())));
    };
    let send = |mediator: &Mediator| {
        let _ = black_box(ready(mediator.send(ask())));
    };
    let rounds = Rounds::run(
        ROUNDS,
        vec![
            Arm::repeated("direct", CALLS, direct),
            Arm::repeated("boxed", CALLS, dynamic),
            Arm::repeated("0_behaviours", CALLS, || send(&bare)),
            Arm::repeated("3_behaviours", CALLS, || send(&three)),
            Arm::repeated("tracing_validation_timeout", CALLS, || send(&built_in)),
        ],
    );
    let base = per_call(direct);
    rounds
        .compare("boxed", "direct")
        .print("mediator_dispatch", json!({ "allocations": per_call(dynamic) - base }));
    let mut kept = true;
    for (arm, mediator, gated) in [
        ("0_behaviours", &bare, true),
        ("3_behaviours", &three, true),
        // A deadline reads the clock: that is the timeout's cost, not the dispatch's.
        ("tracing_validation_timeout", &built_in, false),
    ] {
        let compared: Comparison = rounds.compare(arm, "direct");
        let allocations = per_call(|| send(mediator)) - base;
        compared.print("mediator_dispatch", json!({ "allocations": allocations }));
        kept &= allocations <= 1.0 && (!gated || compared.over_ns <= OVER_NS);
    }
    kept
}

fn mapping() -> bool {
    let mapper =
        EventMapper::builder().map::<UserRegistered, UserCreated>().build().expect("one mapping");
    let event = UserRegistered {
        id: 7,
        email: "ada@example.org".to_owned(),
        name: "Ada Lovelace".to_owned(),
    };
    let event: &dyn DomainEvent = &event;
    // What a service without a mapper would write: it knows the type it is given.
    let by_hand = || {
        let any: &dyn std::any::Any = black_box(event);
        let event = any.downcast_ref::<UserRegistered>().expect("its own event");
        let events: Vec<Box<dyn AnyIntegrationEvent>> = vec![Box::new(UserCreated::from(event))];
        drop(black_box(events));
    };
    let mapped = || drop(black_box(mapper.map(black_box(event))));
    let arms = vec![Arm::repeated("from", CALLS, by_hand), Arm::repeated("mapper", CALLS, mapped)];
    let compared = Rounds::run(ROUNDS, arms).compare("mapper", "from");
    let allocations = per_call(mapped) - per_call(by_hand);
    compared.print("mapping", json!({ "allocations": allocations }));
    allocations <= 0.0
}

/// The same as a share of what an event costs on its way out: mapped, wrapped and encoded.
fn enveloping() {
    let mapper =
        EventMapper::builder().map::<UserRegistered, UserCreated>().build().expect("one mapping");
    let source = Source::new("users").expect("a source");
    let (flow, format) = (Flow::default(), Format::Json);
    let raised = [Raised::Domain(Box::new(registered()))];
    let event = registered();
    let by_hand = || {
        let Envelope { metadata, topic, key, event } =
            Envelope::new(UserCreated::from(black_box(&event)), source.clone()).expect("a key");
        let event = event.encode(format).expect("JSON");
        drop(black_box(vec![Envelope { metadata, topic, key, event }]));
    };
    let mapped = || drop(black_box(mapper.envelopes(black_box(&raised), &source, format, &flow)));
    let arms =
        vec![Arm::repeated("by_hand", CALLS, by_hand), Arm::repeated("mapper", CALLS, mapped)];
    let compared = Rounds::run(ROUNDS, arms).compare("mapper", "by_hand");
    let allocations = per_call(mapped) - per_call(by_hand);
    compared.print("mapping_to_envelope", json!({ "allocations": allocations }));
}

fn main() -> ExitCode {
    let kept = [dispatch(), mapping()];
    enveloping();
    if kept == [true, true] { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
