//! What the kit answers about events that went well, failed for a while, or for good.

use tidings::consumer::{Consumer, Event, HandlerError, Outcome};
use tidings::event::{Headers, TopicName};
use tidings::publisher::Publisher;
use tidings::testing::TestKit;
use tidings::transport::memory::TopicConfig;
use tidings::transport::{Receipt, Record, Transport};

use crate::stage::*;

#[tokio::test(start_paused = true)]
async fn an_event_and_what_follows_from_it_are_done_once_the_kit_is_settled() {
    let kit = shop(shipping(never)).await;
    kit.publish(paid("7")).await;
    kit.settled().await;
    kit.expect::<Paid>().published(1).handled_by("ship", 1).retried_after("ship", []);
    kit.expect::<Shipped>().published_exactly([shipped("7")]).handled_by("billing/bill", 1);
    let (cause, effect) = (&kit.published::<Paid>()[0], &kit.published::<Shipped>()[0]);
    assert_eq!(effect.metadata.causation_id.as_ref(), Some(&cause.metadata.id));
    assert_eq!(effect.metadata.source.as_str(), "shipping");
    assert_eq!(effect.key.as_ref().unwrap().as_str(), "7");
    assert_eq!(kit.handled::<Paid>("ship")[0].event, paid("7"));
}

#[tokio::test(start_paused = true)]
async fn retries_take_virtual_time_only_and_are_known_by_their_waits() {
    let began = std::time::Instant::now();
    let kit = shop(shipping(|_, attempt| {
        (attempt < 3).then(|| HandlerError::transient("the depot is closed"))
    }))
    .await;
    kit.publish(paid("7")).await;
    kit.settled().await;
    kit.expect::<Paid>()
        .published(1)
        .handled_by("ship", 1)
        .retried_after("ship", [secs(5), secs(60)])
        .dead_lettered(0, "");
    kit.expect::<Shipped>().published(1);
    let retried = kit.retried::<Paid>();
    assert_eq!(retried[1].to.as_str(), "paid.retry.1m");
    assert_eq!((retried[1].attempt, retried[1].handler.as_deref()), (2, Some("ship")));
    assert_eq!(retried[0].reason, "the depot is closed");
    assert_eq!(retried[1].event, kit.published()[0], "it is the same event on each tier");
    assert!(began.elapsed() < secs(5), "a minute passed at once");
}

#[tokio::test(start_paused = true)]
async fn an_event_that_never_works_is_a_dead_letter_with_its_reason() {
    let kit = shop(shipping(|paid, _| {
        (paid.order == "9").then(|| HandlerError::transient("the depot is closed"))
    }))
    .await;
    for order in ["7", "9"] {
        kit.publish(paid(order)).await;
    }
    kit.settled().await;
    kit.expect::<Paid>().published(2).handled_by("ship", 1).dead_lettered(1, "depot is closed");
    kit.expect::<Paid>()
        .matching(|paid| paid.order == "7")
        .handled_by("ship", 1)
        .dead_lettered(0, "");
    let dead = &kit.dead_lettered::<Paid>()[0];
    assert_eq!((dead.event.event.order.as_str(), dead.attempt), ("9", 3));
    assert_eq!((&*dead.kind, &*dead.group), ("transient", "shipping"));
}

#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_read_is_in_quarantine_and_no_event() {
    #[derive(serde::Serialize, serde::Deserialize, tidings::IntegrationEvent)]
    #[event(name = "paid", topic = "paid", key = order)]
    struct PaidBefore {
        order: String,
    }
    let kit = shop(shipping(never)).await;
    kit.publish(PaidBefore { order: "7".into() }).await;
    kit.settled().await;
    kit.expect::<Paid>().published(0).handled_by("ship", 0).quarantined(1, "missing field `cents`");
    assert_eq!(kit.quarantined()[0].event.topic.as_str(), "paid");
}

#[tokio::test(start_paused = true)]
async fn what_a_handler_drops_it_has_not_handled() {
    let kit = TestKit::new();
    let drops = async |_: Event<Paid>| {
        Ok::<_, HandlerError>(Outcome::Drop { reason: "nobody wants it".into() })
    };
    let consumer = Consumer::builder("shipping").handle_named("ship", drops);
    kit.start(consumer.build(&kit.transport("shipping")).unwrap()).await;
    kit.publish(paid("7")).await;
    kit.settled().await;
    kit.expect::<Paid>().handled_by("ship", 0).dropped_by("ship", 1);
}

#[tokio::test(start_paused = true)]
async fn two_handlers_that_fail_side_by_side_are_told_apart() {
    let kit = TestKit::new();
    let fails = async |_: Event<Paid>| Err::<(), _>(HandlerError::transient("no"));
    let refuses = async |_: Event<Paid>| Err::<(), _>(HandlerError::permanent("never"));
    let consumer = Consumer::builder("shipping")
        .handle_named("ship", fails)
        .handle_named("insure", refuses)
        .retry(tidings::retry::RetryPolicy::tiers([secs(5)]).immediate(0));
    kit.start(consumer.build(&kit.transport("shipping")).unwrap()).await;
    kit.publish(paid("7")).await;
    kit.settled().await;
    kit.expect::<Paid>()
        .retried_after("ship", [secs(5)])
        .retried_after("insure", [])
        .dead_lettered(2, "n");
    let dead = kit.dead_lettered::<Paid>();
    let dead: Vec<_> =
        dead.iter().map(|dead| (dead.handler.as_deref().unwrap(), &*dead.reason)).collect();
    assert_eq!(dead, [("insure", "never"), ("ship", "no")]);
}

#[tokio::test]
async fn in_real_time_the_kit_settles_too() {
    let kit = shop(shipping(never)).await;
    Publisher::new(&kit.transport("till")).publish_all(["1", "2", "3"].map(paid)).await.unwrap();
    kit.settled().await;
    kit.expect::<Paid>().published_exactly(["1", "2", "3"].map(paid));
    kit.expect::<Shipped>().published(3).handled_by("bill", 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn on_many_threads_nothing_is_left_once_the_kit_is_settled() {
    let kit = shop(shipping(never)).await;
    let till = kit.publisher("till");
    for round in 1..=50 {
        till.publish_and_forget(paid("7")).await.unwrap();
        kit.settled().await;
        assert_eq!(kit.handled::<Shipped>("bill").len(), round);
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_no_group_reads_is_nothing_to_wait_for() {
    let kit = TestKit::new();
    kit.publish(shipped("7")).await;
    kit.settled().await;
    kit.expect::<Shipped>().published(1).handled_by("bill", 0);
}

#[tokio::test(start_paused = true)]
async fn a_transaction_publishes_when_it_commits_and_never_when_it_aborts() {
    let kit = TestKit::new();
    let transactions = kit.transport("till").transactions("till-1").unwrap();
    let record = Record {
        topic: TopicName::from_static("paid"),
        partition: None,
        key: None,
        payload: Some(serde_json::to_vec(&paid("7")).unwrap().into()),
        headers: Headers::default(),
        timestamp: None,
    };
    for (commits, published) in [(false, 0), (true, 1)] {
        transactions.begin().await.unwrap();
        let (receipt, stored) = Receipt::one(None, Default::default());
        assert!(transactions.enqueue(&record, receipt).is_ok());
        stored.await.unwrap().unwrap();
        kit.expect::<Paid>().published(0);
        match commits {
            true => transactions.commit().await.unwrap(),
            false => transactions.abort().await.unwrap(),
        }
        kit.expect::<Paid>().published(published);
    }
}

#[tokio::test(start_paused = true)]
async fn topics_that_a_start_looks_for_have_as_many_partitions_as_the_main_topic() {
    let kit = TestKit::new();
    let mut config = TopicConfig::default();
    config.partitions = 7;
    kit.broker().create_topic(TopicName::from_static("paid"), config);
    kit.start(shipping(never).build(&kit.transport("shipping")).unwrap()).await;
    assert!(kit.broker().topics().iter().all(|(_, partitions)| *partitions == 7));
}

#[tokio::test(start_paused = true)]
async fn headers_that_a_stranger_wrote_do_not_confuse_the_story() {
    let kit = shop(shipping(|_, _| Some(HandlerError::permanent("no such street")))).await;
    let fixture = r#"{
        "topic": "paid",
        "headers": [
            ["x-origin-topic", "elsewhere"], ["x-origin-partition", "1"], ["x-origin-offset", "1"],
            ["x-retry-group", "shipping"], ["x-retry-handler", "bill"], ["x-retry-attempt", "9"]
        ],
        "payload": { "json": { "order": "7", "cents": 1 } }
    }"#;
    kit.replay(&tidings::testing::Fixture::from_json(fixture).unwrap()).await;
    kit.settled().await;
    kit.expect::<Paid>().published(1).dead_lettered(1, "no such street");
    assert_eq!(kit.dead_lettered::<Paid>()[0].handler.as_deref(), Some("ship"));
}
