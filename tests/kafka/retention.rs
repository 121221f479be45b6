//! Row 43: the broker forgets a group's offsets of topics that it does not subscribe to, as tiers
//! are. Takes longer than a minute, since the broker counts in minutes; it waits and computes nothing.

use std::time::Duration;

use tidings::consumer::*;
use tidings::publisher::Publisher;
use tidings::transport::kafka::Kafka;

use crate::broker::OwnBroker;
use crate::events::*;
use crate::inspect::Inspector;
use crate::stage::*;
use crate::support::*;

event!(Quiet, "retention.quiet");

async fn start(kafka: &Kafka, group: &str, refresh: Duration, seen: &Seen<Ran>) -> RunningConsumer {
    consumer(group, 1)
        .handle_named("second-time", note::<Quiet>(seen.clone(), from_a_tier))
        .retry(tiers([Duration::from_millis(200)]))
        .offset_refresh(refresh)
        .start_on(kafka)
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tier_that_is_quiet_longer_than_the_broker_keeps_offsets_runs_nothing_again() {
    let retention = ["offsets.retention.minutes=1", "offsets.retention.check.interval.ms=2000"];
    let Some(broker) = OwnBroker::start(&retention).await else { return };
    let kafka = client("quiet", &broker.address);
    let tier = Quiet::beside("retry.200ms");
    // The control is a group that never refreshes: of it the broker must forget.
    let groups = [("kept", Duration::from_secs(5)), ("forgotten", Duration::from_secs(3_600))];
    let (mut running, mut offsets) = (Vec::new(), Vec::new());
    let seen = [Seen::default(), Seen::default()];
    for ((group, refresh), seen) in groups.iter().zip(&seen) {
        running.push(start(&kafka, group, *refresh, seen).await);
        offsets.push(Inspector::new(&broker.address, &named(group)));
    }
    Publisher::new(&kafka).publish(Quiet::new("k", 0)).await.unwrap();
    eventually("both groups are done with it", SOON, || seen.iter().all(|s| s.len() == 2)).await;
    // Two records lie in the tier, one for each group.
    let both = || offsets.iter().all(|group| group.committed(&tier, 0) == Some(2));
    eventually("both are committed", SOON, both).await;
    let quiet = now();
    let [kept, forgotten] = &offsets[..] else { unreachable!() };
    let long = Duration::from_secs(100);
    eventually("the broker forgets", long, || forgotten.committed(&tier, 0).is_none()).await;
    println!("the broker forgot an offset that was not refreshed after {} ms", now() - quiet);
    assert_eq!(kept.committed(&tier, 0), Some(2), "this one was refreshed");

    for member in running.drain(..) {
        stop(member).await;
    }
    for ((group, refresh), seen) in groups.iter().zip(&seen) {
        running.push(start(&kafka, group, *refresh, seen).await);
    }
    eventually("the forgotten one runs again", SOON, || seen[1].len() == 3).await;
    // By then the other has read its tier to the end; a new event through it proves that.
    Publisher::new(&kafka).publish(Quiet::new("k", 1)).await.unwrap();
    let through = |seen: &Seen<Ran>| seen.all().iter().any(|ran| ran.n == 1 && ran.attempt == 2);
    eventually("a new one goes through", SOON, || seen.iter().all(through)).await;
    let again = seen[0].all().iter().filter(|ran| ran.n == 0).count();
    assert_eq!(again, 2, "nothing ran again: {:?}", seen[0].all());
    for member in running {
        stop(member).await;
    }
}
