//! Hooks of a consumer's life on a real Kafka, and a member that panics.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tidings::consumer::ConsumerStatus;
use tidings::publisher::Publisher;
use tidings::transport::TopicPartition;

use crate::events::*;
use crate::panics::Panics;
use crate::stage::*;
use crate::support::*;

event!(Turn, "members.turn");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hooks_hear_of_each_turn_of_two_members_lives() {
    let Some(broker) = kafka_address() else { return };
    let kafka = client("members", &broker);
    let said = Seen::<(&str, usize)>::default();
    let (records, ends) =
        (Seen::<(usize, i32)>::default(), Seen::<(usize, TopicPartition)>::default());
    let hook = |what: &'static str| {
        let said = said.clone();
        move |member: usize| said.add((what, member))
    };
    let (record, end) = (records.clone(), ends.clone());
    let (assigned, stopped) = (said.clone(), said.clone());
    let running = consumer("members.turn", 4)
        .handle_named("take", take::<Turn>)
        .retry(tiers([Duration::from_secs(1)]))
        .members(2)
        .on_creating(hook("creating"))
        .on_created(hook("created"))
        .on_subscribed(hook("subscribed"))
        .on_assigned(move |member, partitions| {
            if !partitions.is_empty() {
                assigned.add(("assigned", member));
            }
        })
        .on_record(move |member, r| record.add((member, r.partition)))
        .on_partition_end(move |member, partition| end.add((member, partition.clone())))
        .on_stopping(hook("stopping"))
        .on_stopped(move || stopped.add(("stopped", 9)))
        .start_on(&kafka)
        .await;
    let both = |what: &'static str| {
        let members: BTreeSet<_> =
            said.all().into_iter().filter(|(w, _)| *w == what).map(|(_, m)| m).collect();
        members.len() == 2
    };
    eventually("both have partitions", SOON, || both("assigned")).await;
    for what in ["creating", "created", "subscribed"] {
        assert!(both(what), "{what}: {:?}", said.all());
    }
    // Main topic and tier, 4 partitions each, told apart although their numbers are the same.
    let told = || ends.all().into_iter().map(|(_, p)| p).collect::<BTreeSet<_>>().len();
    eventually("each partition's end is told", SOON, || told() == 8).await;
    let before = ends.len();
    let main = topic(Turn::TOPIC);
    let publisher = Publisher::new(&kafka);
    publisher.publish_all((0..40).map(|n| Turn::new(format!("k{n}"), n))).await.unwrap();
    eventually("each record is told", SOON, || records.len() == 40).await;
    let touched: BTreeSet<_> = records.all().into_iter().map(|(_, p)| p).collect();
    let again = || {
        let all = ends.all();
        let all = all[before..].iter().filter(|(_, p)| p.topic == main);
        all.map(|(_, p)| p.partition).collect::<BTreeSet<_>>()
    };
    eventually("and their ends", SOON, || again() == touched).await;
    stop(running).await;
    assert!(both("stopping") && said.all().last() == Some(&("stopped", 9)), "{:?}", said.all());
}

event!(Bug, "members.bug");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_panics_is_started_again_and_nothing_is_lost_nor_out_of_order() {
    let Some(broker) = kafka_address() else { return };
    let kafka = Panics::new(client("members", &broker));
    let seen = Seen::<Ran>::default();
    let builder = consumer("members.bug", 4)
        .handle_named("note", note::<Bug>(seen.clone(), done))
        .retry(tiers([Duration::from_secs(1)]))
        .members(2);
    let running = builder.build(&kafka).unwrap().start().await.unwrap();
    let status: ConsumerStatus = running.status().clone();
    eventually("both are there", SOON, || status.is_ready()).await;
    let publisher = Publisher::new(&kafka);
    const EVENTS: u32 = 4_000;
    let events = (0..EVENTS).map(|n| Bug::new(format!("k{}", n % 20), n));
    let (first, rest): (Vec<_>, Vec<_>) = events.partition(|event| event.n() < EVENTS / 2);
    publisher.publish_all(first).await.unwrap();
    kafka.commits(1);
    eventually("one panics", SOON, || kafka.left() == 0).await;
    let down = || status.problems().iter().any(|p| p.contains("is down and is started again"));
    eventually("readiness says so", SOON, down).await;
    publisher.publish_all(rest).await.unwrap();
    let all = || seen.all().iter().map(|ran| ran.n).collect::<BTreeSet<_>>().len();
    eventually("all are handled", SOON, || all() == EVENTS as usize).await;
    eventually("the member is back", SOON, || status.is_ready()).await;
    assert_eq!(status.counts().restarts(), 1);
    let mut next = BTreeMap::<u32, u32>::new();
    for ran in seen.all() {
        let next = next.entry(ran.n % 20).or_insert(ran.n % 20);
        assert!(ran.n <= *next, "{} came before {next}", ran.n);
        *next = (*next).max(ran.n + 20);
    }
    stop(running).await;
}
