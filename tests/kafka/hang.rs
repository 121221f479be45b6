//! Row 5: a handler that hangs longer than a member may go without polling.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tidings::consumer::*;
use tidings::publisher::Publisher;
use tidings::transport::kafka::Kafka;

use crate::events::*;
use crate::stage::*;
use crate::support::*;

event!(Hung, "hang.hung");

const POLL: Duration = Duration::from_secs(6);
const TIMEOUT: Duration = Duration::from_millis(8_500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_hangs_past_max_poll_interval_times_out_and_nobody_is_evicted() {
    let Some(broker) = kafka_address() else { return };
    let kafka = Kafka::connect(config("hang", &broker).max_poll_interval(POLL)).unwrap();
    let (assigned, revoked) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (given, taken) = (assigned.clone(), revoked.clone());
    let seen = Seen::default();
    let note = seen.clone();
    let running = consumer("hang", 2)
        .handle_named("hang", move |Event(e): Event<Hung>, delivery: Delivery| {
            let note = note.clone();
            async move {
                note.add(Ran::new(e.n, &delivery));
                if e.n == 0 && delivery.attempt() == 1 {
                    std::future::pending::<()>().await;
                }
                Ok::<(), HandlerError>(())
            }
        })
        .retry(tiers([Duration::from_millis(500)]))
        .handler_timeout(TIMEOUT)
        .on_assigned(move |_, _| {
            given.fetch_add(1, Ordering::SeqCst);
        })
        .on_revoked(move |_, _| {
            taken.fetch_add(1, Ordering::SeqCst);
        })
        .start_on(&kafka)
        .await;
    let publisher = Publisher::new(&kafka);
    publisher.publish(Hung::new("hangs", 0)).await.unwrap();
    eventually("it hangs", SOON, || seen.len() == 1).await;
    let began = seen.all()[0].at;

    // Other keys go on all the while, and the member polls.
    let mut n = 0;
    while now() - began < 8_000 {
        n += 1;
        publisher.publish(Hung::new(format!("goes-on-{n}"), n)).await.unwrap();
        eventually("another key is handled", Duration::from_secs(3), || {
            seen.all().iter().any(|ran| ran.n == n)
        })
        .await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(running.status().is_ready(), "{:?}", running.status().problems());
    }
    eventually("it runs again from its tier", SOON, || {
        seen.all().iter().any(|ran| ran.n == 0 && ran.attempt == 2)
    })
    .await;
    let again = seen.all().into_iter().find(|ran| ran.n == 0 && ran.attempt == 2).unwrap();
    assert!(again.topic == Hung::beside("retry.500ms"), "{again:?}");
    let after = again.at - began;
    assert!(after >= 9_000, "the time-out fired after {after} ms already");
    assert_eq!(seen.all().iter().filter(|ran| ran.n == 0).count(), 2, "never delivered twice");
    assert_eq!(assigned.load(Ordering::SeqCst), 1, "no second assignment");
    assert_eq!(revoked.load(Ordering::SeqCst), 0, "no revoke");
    stop(running).await;
}
