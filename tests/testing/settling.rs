//! What does not settle, and what is said about it.

use std::future::pending;

use tidings::consumer::{Consumer, Event, HandlerError};
use tidings::event::TopicName;
use tidings::testing::TestKit;
use tidings::transport::memory::{Fault, FaultPlan, TopicConfig};

use crate::stage::*;

async fn left(kit: &TestKit) -> String {
    let unsettled = kit.try_settled().await.expect_err("the kit is settled");
    without_ids(&unsettled.left().join("\n"))
}

#[tokio::test(start_paused = true)]
async fn a_group_whose_consumer_has_stopped_does_not_settle() {
    let kit = TestKit::new();
    let consumer = shipping(never).build(&kit.transport("shipping")).unwrap();
    let running = consumer.start().await.unwrap();
    kit.publish(paid("7")).await;
    kit.settled().await;
    assert!(running.stop(secs(5)).await.is_clean());
    kit.settled().await;
    kit.publish(paid("7")).await;
    assert_eq!(
        left(&kit).await,
        "shipping has 1 record left of paid/0, first paid #1 at offset 1: \
         no consumer of the group runs any more"
    );
    kit.start(shipping(never).build(&kit.transport("shipping")).unwrap()).await;
    kit.settled().await;
    kit.expect::<Paid>().handled_by("ship", 2);
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_was_killed_is_missed() {
    let kit = TestKit::new();
    let client = kit.transport("shipping");
    let running = shipping(never).build(&client).unwrap().start().await.unwrap();
    kit.settled().await;
    client.kill();
    drop(running);
    kit.publish(paid("7")).await;
    let left = left(&kit).await;
    assert!(left.contains("or was killed"), "{left}");
}

#[tokio::test(start_paused = true)]
async fn a_paused_topic_does_not_settle_until_it_is_resumed() {
    let kit = TestKit::new();
    let shipping = kit.start(shipping(never).build(&kit.transport("shipping")).unwrap()).await;
    kit.settled().await;
    shipping.pause(TopicName::from_static("paid"));
    tokio::time::sleep(secs(1)).await;
    kit.publish(paid("7")).await;
    assert_eq!(
        left(&kit).await,
        "shipping has 1 record left of paid/0, first paid #1 at offset 0: \
         it is paused, by `pause(topic)` or because enough is in memory"
    );
    shipping.resume(&TopicName::from_static("paid"));
    kit.settled().await;
    kit.expect::<Paid>().handled_by("ship", 1);
}

#[tokio::test(start_paused = true)]
async fn an_outage_does_not_settle_and_says_what_is_down() {
    let down = |_: &Paid, _| Some(HandlerError::outage("the depot does not answer"));
    let kit = TestKit::new().settle_within(secs(60));
    kit.start(shipping(down).build(&kit.transport("shipping")).unwrap()).await;
    kit.publish(paid("7")).await;
    assert_eq!(
        left(&kit).await,
        "shipping has 1 record left of paid/0, first paid #1 at offset 0: \
         ship has failed 6 times, last outage: the depot does not answer"
    );
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_hangs_does_not_settle_and_is_named() {
    let kit = TestKit::new().settle_within(secs(30));
    let hangs = async |_: Event<Paid>| pending::<Result<(), HandlerError>>().await;
    let consumer = Consumer::builder("shipping").handle_named("ship", hangs);
    kit.start(consumer.build(&kit.transport("shipping")).unwrap()).await;
    kit.publish(paid("7")).await;
    assert_eq!(
        left(&kit).await,
        "shipping has 1 record left of paid/0, first paid #1 at offset 0: \
         ship has been running since +0.000 s"
    );
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_is_not_due_in_time_says_when_it_is() {
    let fails =
        |_: &Paid, attempt| (attempt == 1).then(|| HandlerError::transient("the depot is closed"));
    let kit = TestKit::new().settle_within(secs(2));
    kit.start(shipping(fails).build(&kit.transport("shipping")).unwrap()).await;
    kit.publish(paid("7")).await;
    assert_eq!(
        left(&kit).await,
        "shipping has 1 record left of paid.retry.5s/0, first paid #1 at offset 0: \
         it is due at +5.000 s"
    );
    kit.settle_within(secs(4)).settled().await;
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_is_away_does_not_settle_and_its_return_does() {
    let kit = TestKit::new().settle_within(secs(10));
    kit.start(shipping(never).build(&kit.transport("shipping")).unwrap()).await;
    kit.settled().await;
    kit.broker().inject(Fault::BrokerGone(secs(15)));
    let till = kit.publisher("till");
    till.publish_and_forget(paid("7")).await.unwrap();
    assert_eq!(
        left(&kit).await,
        "the broker has not answered for 10.0 s: a fault keeps it away\n\
         1 record queued by a client, not stored yet"
    );
    kit.settled().await;
    kit.expect::<Paid>().handled_by("ship", 1);
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_has_not_joined_yet_is_waited_for() {
    let kit = TestKit::new();
    kit.publish(paid("7")).await;
    kit.start(shipping(never).build(&kit.transport("shipping")).unwrap()).await;
    kit.settled().await;
    kit.expect::<Paid>().handled_by("ship", 1);
}

#[tokio::test(start_paused = true)]
async fn under_faults_of_all_kinds_a_kit_that_is_settled_has_handled_all_that_is_there() {
    for seed in 0..100 {
        let kit = TestKit::new();
        let fails = |paid: &Paid, attempt| {
            (paid.order == "3" && attempt == 1).then(|| HandlerError::transient("closed"))
        };
        kit.start(shipping(fails).build(&kit.transport("shipping")).unwrap()).await;
        kit.broker().plan(&FaultPlan::seeded(seed, 12, secs(20)));
        let till = kit.publisher("till");
        for order in 0..20 {
            till.publish_and_forget(paid(&order.to_string())).await.unwrap();
            tokio::time::sleep(secs(1)).await;
        }
        kit.settled().await;
        let handled = kit.handled::<Paid>("ship");
        let published = kit.published::<Paid>();
        assert!(published.len() >= 10, "{seed}: {}", kit.story());
        for event in published {
            assert!(handled.contains(&event), "{seed}: {event:?}\n{}", kit.story());
        }
        assert_eq!(kit.broker().backlog(), Default::default());
    }
}

/// The end of the first giving up took the new assignment for its own, and what came was not read.
#[tokio::test(start_paused = true)]
async fn a_partition_that_is_lost_while_it_is_given_up_and_comes_back_is_read_on() {
    let kit = TestKit::new();
    let mut config = TopicConfig::default();
    config.partitions = 1;
    kit.broker().create_topic(TopicName::from_static("paid"), config);
    let slow = async |Event(paid): Event<Paid>| {
        tokio::time::sleep(if paid.order == "7" { secs(40) } else { secs(0) }).await;
        Ok::<_, HandlerError>(())
    };
    let consumer = Consumer::builder("shipping").handle_named("ship", slow);
    kit.start(consumer.build(&kit.transport("shipping")).unwrap()).await;
    kit.publish(paid("7")).await;
    let faults = FaultPlan::none().at(secs(1), Fault::Rebalance).at(secs(5), Fault::SessionExpired);
    kit.broker().plan(&faults);
    tokio::time::sleep(secs(20)).await;
    kit.publish(paid("8")).await;
    kit.settled().await;
    kit.expect::<Paid>().matching(|paid| paid.order == "8").handled_by("ship", 1);
}

/// Each answer is an event that is answered: no virtual time passes, so no virtual deadline ever comes.
#[tokio::test(start_paused = true)]
async fn handlers_that_answer_each_other_for_ever_do_not_settle_and_the_test_ends() {
    let kit = TestKit::new();
    let consumer =
        Consumer::builder("echo").handle_named("echo", |Event(paid): Event<Paid>| async move {
            Ok::<_, HandlerError>(paid)
        });
    kit.start(consumer.build(&kit.transport("echo")).unwrap()).await;
    kit.publish(paid("7")).await;
    assert!(left(&kit).await.contains("left of paid/0"));
}
