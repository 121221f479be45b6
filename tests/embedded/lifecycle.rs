//! Members, hooks, and the stop: what is done is committed, what is not is named.

use std::time::{Duration, Instant};

use futures::FutureExt;
use tidings::consumer::*;
use tidings::publisher::Publisher;
use tidings::transport::TopicPartition;
use tokio::sync::watch;

use crate::events::{Contract, Note, contract, note};
use crate::stage::*;
use crate::support::{SOON, Seen, eventually};

/// A handler that waits at event `at` until it is let go.
fn waits<C: Contract>(
    at: u32,
    seen: &Seen<u32>,
    go: &watch::Sender<bool>,
) -> impl Handler<Function<(Event<Note<C>>,)>, Input = Event<Note<C>>> + use<C> {
    let (seen, go) = (seen.clone(), go.subscribe());
    move |Event(note): Event<Note<C>>| {
        let (seen, mut go) = (seen.clone(), go.clone());
        async move {
            seen.add(note.n);
            if note.n == at {
                // The sender is there as long as its test.
                go.wait_for(|go| *go).await.map_err(HandlerError::transient)?;
            }
            Ok::<_, HandlerError>(())
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_lets_what_runs_finish_and_the_next_member_begins_right_behind_it() {
    contract!(Finish: "lifecycle.finish");
    let kafka = client();
    let (seen, go) = (Seen::default(), watch::Sender::new(false));
    let handler = waits::<Finish>(10, &seen, &go);
    let running = start(consumer::<Finish>().handle_named("waits", handler), &kafka).await;
    Publisher::new(&kafka).publish_all((0..20).map(|n| note::<Finish>("k", n))).await.unwrap();
    eventually("event 10 is begun", SOON, || seen.len() == 11).await;
    let mut stopping = std::pin::pin!(running.stop(SOON));
    assert!(stopping.as_mut().now_or_never().is_none(), "it waits for event 10");
    go.send_replace(true);
    let report = stopping.await;
    assert!(report.is_clean(), "{report:?}");
    let done = seen.len() as u32;
    assert_eq!(seen.all(), (0..done).collect::<Vec<_>>());

    let again = Seen::default();
    let handler = waits::<Finish>(u32::MAX, &again, &go);
    let running = start(consumer::<Finish>().handle_named("waits", handler), &kafka).await;
    Publisher::new(&kafka).publish(note::<Finish>("k", 20)).await.unwrap();
    eventually("the last one is handled", SOON, || again.all().last() == Some(&20)).await;
    assert_eq!(again.all(), (done..=20).collect::<Vec<_>>());
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_names_what_does_not_finish_and_the_next_member_begins_there() {
    contract!(Hang: "lifecycle.hang");
    let kafka = client();
    let (seen, go) = (Seen::default(), watch::Sender::new(false));
    let handler = waits::<Hang>(10, &seen, &go);
    let running = start(consumer::<Hang>().handle_named("waits", handler), &kafka).await;
    let ids = Publisher::new(&kafka).publish_all((0..20).map(|n| note::<Hang>("k", n))).await;
    eventually("event 10 is begun", SOON, || seen.len() == 11).await;
    let begun = Instant::now();
    let report = running.stop(ms(300)).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(report.unfinished, [ids.unwrap()[10].to_string()]);
    assert!(!report.is_clean() && report.stuck_members == 0 && report.failures.is_empty());

    let again = Seen::default();
    let handler = waits::<Hang>(u32::MAX, &again, &go);
    let running = start(consumer::<Hang>().handle_named("waits", handler), &kafka).await;
    eventually("the rest is handled", SOON, || again.len() == 10).await;
    assert_eq!(again.all(), (10..20).collect::<Vec<_>>());
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_waits_on_a_tier_at_the_stop_runs_once_on_the_next_member() {
    contract!(Waiting: "lifecycle.waiting");
    let kafka = client();
    let seen = Seen::<(u32, u32)>::default();
    let builder = || {
        let seen = seen.clone();
        let handler = move |Event(note): Event<Note<Waiting>>, Attempt(attempt): Attempt| {
            seen.add((note.n, attempt));
            let fails = attempt == 1;
            std::future::ready(if fails { Err(HandlerError::transient("again")) } else { Ok(()) })
        };
        let policy = tidings::retry::RetryPolicy::tiers([ms(1_000)]).immediate(0);
        consumer::<Waiting>().handle_named("again", handler).retry(policy)
    };
    let running = start(builder(), &kafka).await;
    put(&kafka, &written::<Waiting>("k", 1)).await;
    eventually("it is on the tier", SOON, || running.status().counts().retried() == 1).await;
    stop(running).await;
    let running = start(builder(), &kafka).await;
    eventually("it runs again", SOON, || running.status().counts().handled() == 1).await;
    put(&kafka, &written::<Waiting>("k", 2)).await;
    eventually("and so does the next", SOON, || running.status().counts().handled() == 2).await;
    assert_eq!(seen.all(), [(1, 1), (1, 2), (2, 1), (2, 2)]);
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_members_of_one_process_share_the_partitions() {
    contract!(Members: "lifecycle.members");
    let kafka = client();
    let (seen, given) = (Seen::<Note<Members>>::default(), Seen::<Vec<TopicPartition>>::default());
    let builder = consumer::<Members>()
        .handle(record::<Members>)
        .state(seen.clone())
        .members(2)
        .topics(TopicSetup::Create { partitions: Some(6), replication: None })
        .on_assigned({
            let given = given.clone();
            move |_, partitions| given.add(partitions.to_vec())
        });
    let running = start(builder, &kafka).await;
    // 6 partitions and as many of each of the two tiers.
    eventually("all are assigned", SOON, || running.status().partitions() == 18).await;
    let events = (0..300).map(|n| note::<Members>(format!("key-{}", n % 30), n));
    Publisher::new(&kafka).publish_all(events).await.unwrap();
    eventually("all are handled", SOON, || running.status().counts().handled() == 300).await;
    let shares = given.all().into_iter().filter(|partitions| !partitions.is_empty());
    let shares: Vec<_> = shares.map(|partitions| partitions.len()).collect();
    assert_eq!(shares, [9, 9], "each has half, tiers with their partitions");
    stop(running).await;
    let mut numbers: Vec<_> = seen.all().iter().map(|note| note.n).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..300).collect::<Vec<_>>(), "each once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hooks_hear_of_a_consumers_life_and_a_second_member_takes_its_part() {
    contract!(Hooks: "lifecycle.hooks");
    let kafka = client();
    let said = Seen::<String>::default();
    let seen = Seen::<Note<Hooks>>::default();
    let heard = |what: &'static str| {
        let said = said.clone();
        move |_: usize, partitions: &[TopicPartition]| {
            let mains = partitions.iter().filter(|p| p.topic.as_str() == "lifecycle.hooks");
            said.add(format!("{what} {} of {}", mains.count(), partitions.len()));
        }
    };
    let (started, stopped) = (said.clone(), said.clone());
    let builder = consumer::<Hooks>()
        .handle(record::<Hooks>)
        .state(seen.clone())
        .on_started(move || started.add("started".into()))
        .on_assigned(heard("assigned"))
        .on_revoked(heard("revoked"))
        .on_stopped(move || stopped.add("stopped".into()));
    let running = start(builder, &kafka).await;
    assert_eq!(said.all(), ["started", "assigned 2 of 6"]);

    let second = consumer::<Hooks>().handle(record::<Hooks>).state(seen.clone());
    let second = start(second, &kafka).await;
    eventually("each has one partition", SOON, || {
        running.status().partitions() == 3 && second.status().partitions() == 3
    })
    .await;
    eventually("a revoke is heard of", SOON, || said.all().contains(&"revoked 1 of 3".into()))
        .await;
    let events = (0..50).map(|n| note::<Hooks>(format!("key-{n}"), n));
    Publisher::new(&kafka).publish_all(events).await.unwrap();
    let handled = || running.status().counts().handled() + second.status().counts().handled();
    eventually("all are handled", SOON, || handled() == 50).await;
    assert!(running.status().counts().handled() > 0 && second.status().counts().handled() > 0);
    stop(running).await;
    assert_eq!(said.all().last().map(String::as_str), Some("stopped"));
    stop(second).await;
    assert_eq!(seen.len(), 50, "each once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_runs_until_its_shutdown_and_one_that_is_dropped_runs_no_more() {
    contract!(Run: "lifecycle.run");
    let kafka = client();
    let seen = Seen::<Note<Run>>::default();
    let builder = || consumer::<Run>().handle(record::<Run>).state(seen.clone());
    let (shutdown, told) = tokio::sync::oneshot::channel::<()>();
    let built = builder().build(&kafka).unwrap();
    let running = tokio::spawn(built.run(async { drop(told.await) }, SOON));
    Publisher::new(&kafka).publish(note::<Run>("k", 1)).await.unwrap();
    eventually("it handles", SOON, || seen.len() == 1).await;
    shutdown.send(()).unwrap();
    assert!(running.await.unwrap().unwrap().is_clean());

    let dropped = start(builder(), &kafka).await;
    drop(dropped);
    let again = Seen::<Note<Run>>::default();
    let running = start(consumer::<Run>().handle(record::<Run>).state(again.clone()), &kafka).await;
    put(&kafka, &written::<Run>("k", 2)).await;
    eventually("the other one handles", SOON, || again.len() == 1).await;
    assert_eq!(seen.len(), 1, "the dropped one does not");
    stop(running).await;
}
