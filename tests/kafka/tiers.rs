//! Tiers follow their main partition, whoever owns it, and run on time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidings::consumer::*;
use tidings::publisher::Publisher;
use tidings::transport::TopicPartition;
use tidings::transport::kafka::Kafka;

use crate::events::*;
use crate::stage::*;
use crate::support::*;

const SECOND: Duration = Duration::from_secs(1);
/// What comes before a new owner's first event: it is assigned, learns where to begin and who leads, fetches,
/// and dispatches. Each may come as late as the machine is.
const ROUND_TRIPS: i64 = 5;

/// Who owned which partition from when to when, in Unix milliseconds.
#[derive(Clone, Default)]
struct Owners(Arc<Mutex<Vec<Owned>>>);

#[derive(Debug, Clone)]
struct Owned {
    member: &'static str,
    partition: TopicPartition,
    from: i64,
    to: i64,
}

impl Owners {
    fn watch(&self, builder: ConsumerBuilder, member: &'static str) -> ConsumerBuilder {
        let (given, taken) = (self.0.clone(), self.0.clone());
        builder
            .on_assigned(move |_, partitions| {
                let partitions = partitions.iter().cloned();
                let owned = |partition| Owned { member, partition, from: now(), to: i64::MAX };
                given.lock().unwrap().extend(partitions.map(owned));
            })
            .on_revoked(move |_, partitions| {
                let mut all = taken.lock().unwrap();
                let open = all.iter_mut().filter(|o| o.member == member && o.to == i64::MAX);
                open.filter(|o| partitions.contains(&o.partition)).for_each(|o| o.to = now());
            })
    }

    /// Since when `member` owned the partition at `at`; `None`: it did not.
    fn since(&self, member: &str, partition: &TopicPartition, at: i64) -> Option<i64> {
        let all = self.0.lock().unwrap();
        // A handler that began just before the revoke may note its time just after it.
        let mut fits = all.iter().filter(|o| {
            o.member == member
                && o.partition == *partition
                && o.from <= at
                && at <= o.to.saturating_add(50)
        });
        fits.next().map(|o| o.from)
    }

    fn owns(&self, member: &str, topic: &str) -> Vec<i32> {
        let all = self.0.lock().unwrap();
        let now = all.iter().filter(|o| o.member == member && o.to == i64::MAX);
        let mut partitions: Vec<_> = now
            .filter(|o| o.partition.topic.as_str() == topic)
            .map(|o| o.partition.partition)
            .collect();
        partitions.sort_unstable();
        partitions
    }

    /// A member that left hears of no revoke.
    fn left(&self, member: &str) {
        let mut all = self.0.lock().unwrap();
        all.iter_mut()
            .filter(|o| o.member == member && o.to == i64::MAX)
            .for_each(|o| o.to = now());
    }
}

event!(Wandering, "tiers.wandering");
const WANDERING_TIERS: [Duration; 2] = [SECOND, Duration::from_secs(2)];

async fn wanderer(
    broker: &str,
    member: &'static str,
    owners: &Owners,
    seen: &Seen<(&'static str, Ran)>,
) -> RunningConsumer {
    let seen = seen.clone();
    let third_time = move |ran: &Ran| {
        seen.add((member, ran.clone()));
        if ran.attempt == 3 { Ok(()) } else { Err(HandlerError::transient("not yet")) }
    };
    let builder = consumer("wandering", 4)
        .handle_named("third-time", answer::<Wandering>(third_time))
        // By key, what lies before an event that has begun still begins when its partition is being taken.
        .order(Order::ByPartition)
        .retry(tiers(WANDERING_TIERS));
    owners.watch(builder, member).start_on(&client(member, broker)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_failed_event_runs_in_each_tier_once_on_the_owner_while_members_join_and_leave() {
    let Some(broker) = kafka_address() else { return };
    let (owners, seen) = (Owners::default(), Seen::default());
    let main = named(Wandering::TOPIC);
    let machine = Machine::watch();
    let ran_by = |member: &str| seen.all().iter().filter(|(m, _)| *m == member).count();

    let first = wanderer(&broker, "first", &owners, &seen).await;
    eventually("the first owns all", SOON, || owners.owns("first", &main).len() == 4).await;
    let enough = Arc::new(AtomicBool::new(false));
    let publishing = tokio::spawn({
        let (enough, publisher) = (enough.clone(), Publisher::new(&client("source", &broker)));
        async move {
            let mut pace = tokio::time::interval(Duration::from_millis(25));
            let mut n = 0;
            while !enough.load(Ordering::Relaxed) {
                pace.tick().await;
                publisher.publish(Wandering::new(format!("k{}", n % 16), n)).await.unwrap();
                n += 1;
            }
            n
        }
    });
    eventually("the first runs", SOON, || ran_by("first") > 80).await;
    let second = wanderer(&broker, "second", &owners, &seen).await;
    eventually("the second owns half", SOON, || owners.owns("second", &main).len() == 2).await;
    eventually("the second runs", SOON, || ran_by("second") > 80).await;
    let left = second.stop(SOON).await;
    owners.left("second");
    assert!(left.is_clean(), "{left:?}");
    eventually("the first owns all again", SOON, || owners.owns("first", &main).len() == 4).await;
    let third = wanderer(&broker, "third", &owners, &seen).await;
    eventually("the third owns half", SOON, || owners.owns("third", &main).len() == 2).await;
    eventually("the third runs", SOON, || ran_by("third") > 40).await;
    enough.store(true, Ordering::Relaxed);
    let published = publishing.await.unwrap();
    let done = || {
        let all = seen.all();
        let third = all.iter().filter(|(_, ran)| ran.attempt == 3);
        third.map(|(_, ran)| ran.n).collect::<BTreeSet<_>>().len()
    };
    eventually("all are done", SOON, || done() >= published as usize).await;

    let mut times: BTreeMap<(u32, u32), u32> = BTreeMap::new();
    let (mut late, mut late_on_owner) = (Vec::new(), Vec::new());
    for (member, ran) in seen.all() {
        *times.entry((ran.n, ran.attempt)).or_default() += 1;
        let at = TopicPartition { topic: ran.topic.clone(), partition: ran.partition };
        let since = owners.since(member, &at, ran.at);
        let since = since.unwrap_or_else(|| panic!("{member} ran what it does not own: {ran:?}"));
        if ran.attempt > 1 {
            let tier = WANDERING_TIERS[ran.attempt as usize - 2];
            let ms = ran.late(tier);
            assert!(ms >= 0, "{ms} ms early: {ran:?}");
            late.push(ms);
            late_on_owner.push(ms.min(ran.at - since));
        }
    }
    assert_eq!(times.len(), 3 * published as usize);
    let twice = |ran: &Ran| times[&(ran.n, ran.attempt)] > 1;
    let doubled: Vec<_> = seen.all().into_iter().filter(|(_, ran)| twice(ran)).collect();
    assert!(doubled.is_empty(), "ran twice: {doubled:#?}");
    late.sort_unstable();
    late_on_owner.sort_unstable();
    println!(
        "tiers over three hand-overs, {} runs: late p50 {} p99 {} max {} ms; since the owner owns it max {} ms",
        late.len(),
        percentile(&late, 50),
        percentile(&late, 99),
        late[late.len() - 1],
        late_on_owner[late_on_owner.len() - 1]
    );
    let most = 1_000 + ROUND_TRIPS * ms(machine.late(100).await);
    assert!(late_on_owner[late_on_owner.len() - 1] <= most, "more than {most} ms late");
    for member in [first, third] {
        stop(member).await;
    }
}

event!(Handed, "tiers.handed");
const HANDED_TIER: Duration = Duration::from_secs(6);

/// Fails at first; what is named `slow` holds its member up until the gate opens.
async fn handed(
    broker: &str,
    member: &'static str,
    owners: &Owners,
    seen: &Seen<(&'static str, Ran)>,
    gate: &Arc<tokio::sync::Semaphore>,
) -> RunningConsumer {
    let (seen, gate) = (seen.clone(), gate.clone());
    let builder = consumer("handed", 2)
        .handle_named("second-time", move |Event(e): Event<Handed>, delivery: Delivery| {
            let (seen, gate) = (seen.clone(), gate.clone());
            async move {
                let ran = Ran::new(e.n, &delivery);
                seen.add((member, ran.clone()));
                if e.n >= 100 {
                    gate.acquire().await.unwrap().forget();
                    return Ok(());
                }
                from_a_tier(&ran)
            }
        })
        .retry(tiers([HANDED_TIER]));
    owners.watch(builder, member).start_on(&client(member, broker)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tier_partition_taken_and_given_back_before_or_after_the_due_time_runs_once_on_time() {
    let Some(broker) = kafka_address() else { return };
    let (owners, seen) = (Owners::default(), Seen::default());
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let main = named(Handed::TOPIC);
    let machine = Machine::watch();
    let publisher = Publisher::new(&client("source", &broker));
    let stays = handed(&broker, "stays", &owners, &seen, &gate).await;
    eventually("one owns both", SOON, || owners.owns("stays", &main).len() == 2).await;
    let runs = |n: u32, attempt: u32| {
        let all = seen.all();
        all.into_iter().filter(|(_, r)| r.n == n && r.attempt == attempt).collect::<Vec<_>>()
    };
    let retried = |times: u64| stays.status().counts().retried() == times;

    // Taken and given back before it is due.
    for partition in 0..2 {
        let event = Handed::new(key_on(partition, 2), partition.cast_unsigned());
        publisher.publish(event).await.unwrap();
    }
    eventually("both wait in the tier", SOON, || retried(2)).await;
    let guest = handed(&broker, "guest", &owners, &seen, &gate).await;
    eventually("the guest owns one", SOON, || owners.owns("guest", &main).len() == 1).await;
    stop(guest).await;
    owners.left("guest");
    eventually("one owns both again", SOON, || owners.owns("stays", &main).len() == 2).await;
    let given_back = now();
    eventually("both ran", SOON, || (0..2).all(|n| !runs(n, 2).is_empty())).await;
    let most = 1_000 + ms(machine.late(100).await);
    for n in 0..2 {
        let ran = runs(n, 2);
        let late = ran[0].1.late(HANDED_TIER);
        println!(
            "given back {} ms before it was due: {late} ms late",
            ran[0].1.at - late - given_back
        );
        assert_eq!(ran.len(), 1, "{ran:?}");
        assert_eq!(ran[0].0, "stays");
        assert!((0..=most).contains(&late), "{late} ms");
        assert!(ran[0].1.at - late > given_back, "it was given back before it was due");
    }

    // Taken before it is due, and given back after: its owner leaves, held up beyond the due time.
    let machine = Machine::watch();
    let guest = handed(&broker, "guest", &owners, &seen, &gate).await;
    eventually("the guest owns one", SOON, || owners.owns("guest", &main).len() == 1).await;
    let theirs = owners.owns("guest", &main)[0];
    publisher.publish(Handed::new(key_on(theirs, 2), 10)).await.unwrap();
    eventually("it failed at the guest", SOON, || runs(10, 1).len() == 1).await;
    eventually("it waits", SOON, || guest.status().counts().retried() == 1).await;
    publisher.publish(Handed::new(key_on(theirs, 2) + "x", 100)).await.ok();
    publisher.publish(Handed::new(key_on(theirs, 2), 101)).await.unwrap();
    eventually("the guest is held up", SOON, || {
        runs(101, 1).first().is_some_and(|(member, _)| *member == "guest")
    })
    .await;
    let failed_at = runs(10, 1)[0].1.at;
    let stopping = tokio::spawn(guest.stop(SOON));
    let due = failed_at + 6_500;
    eventually("it is past due", SOON, || now() > due).await;
    assert!(runs(10, 2).is_empty(), "nobody runs it while its owner leaves");
    gate.add_permits(100);
    assert!(stopping.await.unwrap().is_clean());
    owners.left("guest");
    eventually("it ran", SOON, || !runs(10, 2).is_empty()).await;
    let ran = runs(10, 2);
    let partition = TopicPartition { topic: ran[0].1.topic.clone(), partition: theirs };
    let since = owners.since("stays", &partition, ran[0].1.at).expect("it ran on its owner");
    println!(
        "given back {} ms after it was due: ran {} ms after that",
        since - (ran[0].1.at - ran[0].1.late(HANDED_TIER)),
        ran[0].1.at - since
    );
    assert!(ran[0].1.at - since <= 1_000 + ROUND_TRIPS * ms(machine.late(100).await));
    let done = || seen.all().iter().filter(|(_, r)| r.n >= 100).count() == 2;
    eventually("the rest is done", SOON, done).await;
    assert_eq!(runs(10, 2).len(), 1);
    stop(stays).await;
}

event!(Steady, "tiers.steady");
event!(Burst, "tiers.burst");
const STEADY_TIER: Duration = Duration::from_secs(2);

/// Notes what came from the tier.
async fn fails_once<E: Numbered>(kafka: &Kafka, group: &str, seen: &Seen<Ran>) -> RunningConsumer {
    let seen = seen.clone();
    let second_time = move |ran: &Ran| {
        from_a_tier(ran)?;
        seen.add(ran.clone());
        Ok(())
    };
    consumer(group, 4)
        .handle_named("second-time", answer::<E>(second_time))
        .retry(tiers([STEADY_TIER]))
        .start_on(kafka)
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_steady_failures_99_in_100_run_at_most_50_ms_after_they_are_due_and_none_before() {
    let Some(broker) = kafka_address() else { return };
    let kafka: Kafka = client("steady", &broker);
    let seen = Seen::default();
    let running = fails_once::<Steady>(&kafka, "steady", &seen).await;
    let publisher = Publisher::new(&kafka);
    let machine = Machine::watch();
    let mut pace = tokio::time::interval(Duration::from_millis(10));
    for n in 0..500 {
        pace.tick().await;
        publisher.publish(Steady::new(format!("k{}", n % 50), n)).await.unwrap();
    }
    eventually("all ran", SOON, || seen.len() >= 500).await;
    let late = lateness(&seen);
    assert!(late[0] >= 0, "{} ms early", -late[0]);
    // One stall of so long makes each event late that was due in it, which may be more than one in 100.
    let machine = ms(machine.late(100).await);
    assert!(percentile(&late, 99) <= 50 + machine, "p99 {} ms late", percentile(&late, 99));
    stop(running).await;
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap()
}

fn lateness(seen: &Seen<Ran>) -> Vec<i64> {
    let mut late: Vec<_> = seen.all().iter().map(|ran| ran.late(STEADY_TIER)).collect();
    late.sort_unstable();
    println!(
        "{} failures in a tier of {STEADY_TIER:?}: late p50 {} p99 {} max {} ms",
        late.len(),
        percentile(&late, 50),
        percentile(&late, 99),
        late[late.len() - 1]
    );
    late
}

/// Three times what a tier's partition keeps in memory while nothing is due.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_burst_of_failures_none_is_early_and_none_is_left() {
    let Some(broker) = kafka_address() else { return };
    let kafka: Kafka = client("burst", &broker);
    let seen = Seen::default();
    let running = fails_once::<Burst>(&kafka, "burst", &seen).await;
    let events = (0..3_000).map(|n| Burst::new(format!("k{}", n % 200), n));
    Publisher::new(&kafka).publish_all(events).await.unwrap();
    eventually("all ran", SOON, || seen.len() >= 3_000).await;
    let late = lateness(&seen);
    assert!(late[0] >= 0, "{} ms early", -late[0]);
    let ns: BTreeSet<_> = seen.all().iter().map(|ran| ran.n).collect();
    assert_eq!((ns.len(), seen.len()), (3_000, 3_000), "each once");
    stop(running).await;
}
