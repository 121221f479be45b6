//! Given, when, then: without a broker.

use std::sync::{Arc, Mutex};

use tidings::DomainEvent;
use tidings::mapper::{EventMapper, Events};
use tidings::mediator::{Context, Mediator, Publishing, RequestHandler};
use tidings::testing::Scenario;
use tidings::testing::kit::Recorder;

use crate::stage::*;

#[derive(Debug, DomainEvent)]
struct Settled {
    order: String,
    cents: u32,
}

#[derive(Debug, DomainEvent)]
struct Counted;

fn mapper() -> EventMapper {
    EventMapper::builder()
        .map_with(|event: &Settled| {
            let paid = Paid { order: event.order.clone(), cents: event.cents };
            Events::one(paid).and(Shipped { order: event.order.clone() })
        })
        .ignore::<Counted>()
        .build()
        .unwrap()
}

#[derive(Debug, tidings::Command)]
#[request(response = usize, error = Poor)]
struct Pay {
    order: String,
    cents: u32,
}

#[derive(Debug, PartialEq)]
struct Poor;

#[derive(Clone, Default)]
struct Purse(Arc<Mutex<u32>>);

impl RequestHandler<Pay> for Purse {
    async fn handle(&self, request: Pay, cx: &mut Context) -> Result<usize, Poor> {
        let mut purse = self.0.lock().unwrap();
        *purse = purse.checked_sub(request.cents).ok_or(Poor)?;
        cx.raise(Settled { order: request.order, cents: request.cents });
        Ok(1)
    }
}

async fn given(cents: u32) -> Scenario<Publishing<Mediator, Recorder>> {
    Scenario::given(async |recorder| {
        let purse = Purse(Arc::new(Mutex::new(cents)));
        let mediator = Mediator::builder().handler::<Pay, _>(purse).build().unwrap();
        let requests = mediator.publishing(mapper(), recorder);
        requests.send(pay("earlier", 1)).await.unwrap();
        requests
    })
    .await
}

fn pay(order: &str, cents: u32) -> Pay {
    Pay { order: order.into(), cents }
}

#[test]
fn a_mapper_is_asked_for_what_it_makes_of_a_domain_event() {
    let scenario = Scenario::mapping(mapper());
    scenario
        .when_raised(Settled { order: "7".into(), cents: 100 })
        .then_published(Events::one(paid("7")).and(shipped("7")));
    scenario.when_raised(Counted).then_published(());
    let forgetful = Scenario::mapping(EventMapper::builder().build().unwrap());
    forgetful.when_raised(Counted).then_failed(|error| error.to_string().contains("no mapping"));
}

#[tokio::test]
async fn a_command_publishes_what_follows_and_nothing_of_what_was_given() {
    let scenario = given(101).await;
    let sent = scenario.when(pay("7", 100)).await;
    sent.then_published(Events::one(paid("7")).and(shipped("7")));
    assert_eq!((*sent.response(), sent.published::<Paid>()), (1, vec![paid("7")]));
    scenario.when(pay("8", 1)).await.then_failed(|error| error.handler_error() == Some(&Poor));
}

#[tokio::test]
async fn other_events_are_shown_beside_those_expected_and_field_by_field() {
    let sent = given(101).await.when(pay("7", 99)).await;
    let said = failure(|| {
        sent.then_published(Events::one(paid("7")).and(shipped("8")));
    });
    assert_eq!(
        said,
        "\
expected to be published, in this order:
  1. paid {\"cents\":100,\"order\":\"7\"}
  2. shipped {\"order\":\"8\"}
but it was:
  1. paid {\"cents\":99,\"order\":\"7\"}
  2. shipped {\"order\":\"7\"}
event 1: cents: expected 100, was 99
event 2: partition key: expected Some(\"8\"), was Some(\"7\")
event 2: order: expected \"8\", was \"7\"
"
    );
    let said = failure(|| {
        sent.then_published(());
    });
    assert!(said.starts_with("expected to be published, in this order:\n  no event\n"), "{said}");
}

#[tokio::test]
async fn a_request_that_should_have_failed_or_succeeded_says_what_it_did() {
    let scenario = given(101).await;
    let sent = scenario.when(pay("7", 1_000)).await;
    assert_eq!(
        failure(|| {
            sent.then_published(());
        }),
        "the request failed: Handler(Poor)"
    );
    let said = failure(|| {
        sent.then_failed(|error| error.is_timed_out());
    });
    assert_eq!(said, "the request failed in another way: Handler(Poor)");
    let sent = scenario.when(pay("7", 1)).await;
    let said = failure(|| {
        sent.then_failed(|_| true);
    });
    assert_eq!(said, "expected the request to fail, but it succeeded");
}
