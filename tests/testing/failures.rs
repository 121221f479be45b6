//! What failures say, to the letter: they are what a user of the kit sees most.

use std::cell::RefCell;
use std::sync::Once;

use tidings::consumer::{Consumer, Event, HandlerError};
use tidings::testing::TestKit;
use tokio::time::sleep;

use crate::stage::*;

/// The depot is closed for the first two attempts.
async fn closed_twice() -> TestKit {
    let kit = shop(shipping(|_, attempt| {
        (attempt < 3).then(|| HandlerError::transient("the depot is closed"))
    }))
    .await;
    kit.publish(paid("7")).await;
    kit.settled().await;
    kit
}

#[tokio::test(start_paused = true)]
async fn a_failure_tells_the_whole_story_in_order() {
    let kit = closed_twice().await;
    let said = failure(|| kit.expect::<Shipped>().published(2));
    assert_eq!(
        said,
        "\
expected 2 shipped to be published, but it was 1
  {\"order\":\"7\"}
What happened:
    +0.000 s  published paid #1 to paid/0@0, key 7, by test
    +0.000 s  shipping/ship failed on paid #1, attempt 1, transient: the depot is closed
    +0.000 s  shipping/ship moved paid #1 to paid.retry.5s, to be retried
    +5.000 s  shipping/ship failed on paid #1, attempt 2, transient: the depot is closed
    +5.000 s  shipping/ship moved paid #1 to paid.retry.1m, to be retried
   +65.000 s  published shipped #2 to shipped/0@0, key 7, by shipping because of #1
   +65.000 s  shipping/ship handled paid #1, attempt 3
   +65.000 s  billing/bill handled shipped #2, attempt 1
"
    );
}

/// The part of a failure before the story.
fn head<T>(assertion: impl FnOnce() -> T) -> String {
    let said = failure(assertion);
    said.split("What happened:").next().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn each_failure_says_what_was_expected_and_what_was() {
    let kit = closed_twice().await;
    let paid_events = || kit.expect::<Paid>();
    for (said, expected) in [
        (
            head(|| paid_events().matching(|paid| paid.order == "8").published(1)),
            "expected 1 paid that match to be published, but it was 0\n",
        ),
        (
            head(|| paid_events().published_exactly([Paid { order: "7".into(), cents: 1 }])),
            "expected to be published, in this order:\n\
             \x20 1. paid {\"cents\":1,\"order\":\"7\"}\n\
             but it was:\n\
             \x20 1. paid {\"cents\":100,\"order\":\"7\"}\n\
             event 1: cents: expected 1, was 100\n",
        ),
        (
            head(|| paid_events().handled_by("ship", 3)),
            "expected 3 paid to be handled by \"ship\", but it was 1\n",
        ),
        (
            head(|| paid_events().handled_by("shp", 1)),
            "expected 1 paid to be handled by \"shp\", but it was 0\n\
             no handler of that name was called with paid; these were: shipping/ship\n",
        ),
        (
            head(|| paid_events().retried_after("ship", [secs(5)])),
            "expected paid to be retried by \"ship\" after [5s], but it was after [5s, 60s]\n",
        ),
        (
            head(|| paid_events().retried_after("ship", [secs(4), secs(60)])),
            "expected paid to be retried by \"ship\" after [4s, 60s], but it was after [5s, 60s]\n",
        ),
        (
            head(|| paid_events().dead_lettered(1, "closed")),
            "expected 1 paid to be dead-lettered, but it was 0\n",
        ),
        (
            head(|| paid_events().dropped_by("ship", 1)),
            "expected 1 paid to be dropped by \"ship\", but it was 0\n",
        ),
        (
            head(|| paid_events().quarantined(1, "")),
            "expected 1 paid to be put in quarantine, but it was 0\n",
        ),
    ] {
        assert_eq!(said, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_for_another_reason_is_shown() {
    let kit = shop(shipping(|_, _| Some(HandlerError::permanent("no such street")))).await;
    kit.publish(paid("7")).await;
    kit.settled().await;
    assert_eq!(
        head(|| kit.expect::<Paid>().dead_lettered(1, "no such town")),
        "expected each paid to be dead-lettered for a reason that contains \"no such town\"\n\
         \x20 +0.000 s, by shipping/ship, which failed at attempt 1: no such street\n"
    );
    kit.expect::<Paid>()
        .dead_lettered_by("ship", 1, "no such street")
        .dead_lettered_by("shipping/ship", 1, "")
        .dead_lettered_by("billing/ship", 0, "");
    assert_eq!(
        head(|| kit.expect::<Paid>().dead_lettered_by("shop", 1, "")),
        "expected 1 paid to be dead-lettered by \"shop\", but it was 0\n\
         no handler of that name was called with paid; these were: shipping/ship\n"
    );
}

#[tokio::test(start_paused = true)]
async fn an_assertion_before_everything_is_done_says_that_it_came_too_early() {
    let kit = shop(shipping(|_, _| Some(HandlerError::transient("closed")))).await;
    kit.publish(paid("7")).await;
    sleep(secs(1)).await;
    assert_eq!(
        head(|| kit.expect::<Paid>().handled_by("ship", 1)),
        "expected 1 paid to be handled by \"ship\", but it was 0\n\
         The kit is not settled; what is left:\n\
         \x20 shipping has 1 record left of paid.retry.5s/0, first paid #1 at offset 0: \
         it is due at +5.000 s\n"
    );
}

#[tokio::test(start_paused = true)]
async fn where_no_consumer_was_started_the_failure_asks_for_one() {
    let kit = TestKit::new();
    assert_eq!(
        failure(|| kit.expect::<Paid>().published(1)),
        "expected 1 paid to be published, but it was 0\nWhat happened:\n  \
         nothing: no event was published, and no handler was called (what is in an outbox is \
         published by a relay: `kit.start_relay(..)`)\n"
    );
    kit.publish(paid("7")).await;
    assert_eq!(
        head(|| kit.expect::<Paid>().handled_by("ship", 1)),
        "expected 1 paid to be handled by \"ship\", but it was 0\n\
         no handler was called with paid: is a consumer started that handles it?\n"
    );
}

#[tokio::test(start_paused = true)]
async fn records_that_say_they_are_an_event_and_are_none_are_named() {
    #[derive(serde::Serialize, serde::Deserialize, tidings::IntegrationEvent)]
    #[event(name = "paid", topic = "paid", unkeyed)]
    struct PaidBefore {}
    let kit = TestKit::new();
    kit.publish(PaidBefore {}).await;
    let said = head(|| kit.expect::<Paid>().published(1));
    assert!(
        said.contains("and a record that says it is one: the payload cannot be read as Paid"),
        "{said}"
    );
}

#[tokio::test(start_paused = true)]
async fn many_failures_of_one_delivery_are_counted_and_not_listed() {
    let down = |_: &Paid, _| Some(HandlerError::outage("the depot does not answer"));
    let kit = TestKit::new().settle_within(secs(600));
    kit.start(shipping(down).build(&kit.transport("shipping")).unwrap()).await;
    kit.publish(paid("7")).await;
    let unsettled = kit.try_settled().await.unwrap_err();
    let said = without_ids(&unsettled.to_string());
    let failures = said.lines().filter(|line| line.contains("shipping/ship failed")).count();
    assert_eq!(failures, 3, "{said}");
    assert!(said.contains("(failure 24 of this delivery)"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_takes_long_and_one_that_never_ends_are_told_so() {
    let kit = TestKit::new().settle_within(secs(30));
    let slow = async |Event(paid): Event<Paid>| {
        sleep(if paid.order == "7" { secs(2) } else { secs(50) }).await;
        Ok::<_, HandlerError>(())
    };
    let consumer = Consumer::builder("shipping").handle_named("ship", slow);
    kit.start(consumer.build(&kit.transport("shipping")).unwrap()).await;
    kit.publish(paid("7")).await;
    kit.publish(paid("8")).await;
    assert!(kit.try_settled().await.is_err());
    let story = without_ids(&kit.story());
    assert!(story.contains("shipping/ship handled paid #1, attempt 1 (after 2s)"), "{story}");
    assert!(story.contains("shipping/ship began paid #2, attempt 1, and has not ended"), "{story}");
}

thread_local! {
    static PANICKED_IN: RefCell<String> = const { RefCell::new(String::new()) };
}

#[tokio::test(start_paused = true)]
async fn a_failure_points_at_the_line_of_the_test() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let file = panic.location().map(|at| at.file().to_owned()).unwrap_or_default();
            PANICKED_IN.with_borrow_mut(|panicked| *panicked = file);
            before(panic);
        }));
    });
    let kit = TestKit::new();
    let expect = || kit.expect::<Paid>();
    let assertions: [&dyn Fn(); 6] = [
        &|| drop(expect().published(1)),
        &|| drop(expect().published_exactly([paid("7")])),
        &|| drop(expect().handled_by("ship", 1)),
        &|| drop(expect().retried_after("ship", [secs(5)])),
        &|| drop(expect().dead_lettered(1, "")),
        &|| drop(expect().quarantined(1, "")),
    ];
    for assertion in assertions {
        PANICKED_IN.take();
        failure(assertion);
        assert!(PANICKED_IN.take().ends_with("failures.rs"));
    }
}
