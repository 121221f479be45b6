//! A handler says that the world is down: its event is kept, and nothing is counted against it.

use std::sync::Arc;

use tidings::consumer::*;
use tidings::event::header;
use tokio::sync::{Barrier, watch};

use crate::events::{Contract, Note, contract};
use crate::stage::*;
use crate::support::{SOON, Seen, eventually};

/// A handler that finds the world down for a key as long as `down` holds that key.
fn in_a_world<C: Contract>(
    builder: ConsumerBuilder,
    seen: &Seen<(u32, u32)>,
    down: &watch::Sender<Vec<&'static str>>,
) -> ConsumerBuilder {
    let (seen, down) = (seen.clone(), down.subscribe());
    let handler = move |Event(note): Event<Note<C>>, Attempt(attempt): Attempt| {
        let is_down = down.borrow().contains(&&*note.key);
        seen.add((note.n, attempt));
        async move { if is_down { Err(HandlerError::outage("the database is away")) } else { Ok(()) } }
    };
    builder.handle_named("needs-the-world", handler)
}

fn is_red(running: &RunningConsumer, partition: &str) -> bool {
    let problems = running.status().problems();
    problems
        .iter()
        .any(|problem| problem.contains(partition) && problem.contains("database is away"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_keeps_its_event_pauses_the_partition_and_ends_without_a_trace() {
    contract!(Kept: "outages.kept");
    let kafka = client();
    let (seen, down) = (Seen::default(), watch::Sender::new(vec!["k"]));
    let running = start(in_a_world::<Kept>(consumer::<Kept>(), &seen, &down), &kafka).await;
    put(&kafka, &written::<Kept>("k", 1)).await;
    eventually("a problem says so", SOON, || is_red(&running, "outages.kept/0")).await;
    put(&kafka, &written::<Kept>("k", 2)).await;
    let first = until_paused::<Kept>(&kafka, &running, &seen).await;
    assert!(is_red(&running, "outages.kept/0"));
    down.send_replace(Vec::new());
    eventually("the partition goes on", SOON, || seen.all().contains(&(first + 3, 1))).await;
    eventually("it is ready again", SOON, || running.status().is_ready()).await;
    let all = seen.all();
    assert!(all.iter().all(|(_, attempt)| *attempt == 1), "an outage counts no attempt: {all:?}");
    let of_key: Vec<_> = all.iter().map(|(n, _)| *n).filter(|n| *n < 10).collect();
    assert!(of_key.len() >= 3 && of_key.is_sorted() && of_key.last() == Some(&2), "{of_key:?}");
    let counts = running.status().counts();
    assert_eq!((counts.retried(), counts.dead_lettered(), counts.dropped()), (0, 0, 0));
    stop(running).await;
    assert!(lies_on(&kafka, &beside::<Kept>("retry.50ms")).await.is_empty());
    assert!(lies_on(&kafka, &beside::<Kept>("dlq")).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_is_over_for_health_when_the_last_of_its_partition_is() {
    contract!(Two: "outages.two");
    let kafka = client();
    let down = watch::Sender::new(vec!["a", "b"]);
    // Both are begun before one reports an outage: that pauses the partition.
    let both = Arc::new(Barrier::new(2));
    let (world, calls) = (down.subscribe(), Seen::<String>::default());
    let handler = move |Event(note): Event<Note<Two>>| {
        let (world, both, calls) = (world.clone(), both.clone(), calls.clone());
        async move {
            if !calls.all().contains(&note.key) {
                calls.add(note.key.clone());
                both.wait().await;
            }
            let is_down = world.borrow().contains(&&*note.key);
            if is_down { Err(HandlerError::outage("the database is away")) } else { Ok(()) }
        }
    };
    let builder = consumer::<Two>().handle_named("needs-the-world", handler);
    let running = start(builder, &kafka).await;
    put(&kafka, &written::<Two>("a", 1)).await;
    put(&kafka, &written::<Two>("b", 2)).await;
    eventually("a problem says so", SOON, || is_red(&running, "outages.two/0")).await;
    down.send_replace(vec!["b"]);
    eventually("one is handled", SOON, || running.status().counts().handled() == 1).await;
    assert!(is_red(&running, "outages.two/0"), "the other one still waits");
    down.send_replace(Vec::new());
    eventually("the other one is handled", SOON, || running.status().counts().handled() == 2).await;
    eventually("it is ready again", SOON, || running.status().is_ready()).await;
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_in_an_outage_is_named_at_the_stop_and_comes_again() {
    contract!(Again: "outages.again");
    let kafka = client();
    let (seen, down) = (Seen::default(), watch::Sender::new(vec!["k"]));
    let running = start(in_a_world::<Again>(consumer::<Again>(), &seen, &down), &kafka).await;
    put(&kafka, &written::<Again>("fine", 1)).await;
    let record = written::<Again>("k", 2);
    put(&kafka, &record).await;
    eventually("a problem says so", SOON, || is_red(&running, "outages.again/0")).await;
    eventually("the first is handled", SOON, || running.status().counts().handled() == 1).await;
    let report = running.stop(SOON).await;
    assert_eq!(report.unfinished, [record.headers.get_str(header::ID).unwrap()]);

    let again = Seen::default();
    down.send_replace(Vec::new());
    let running = start(in_a_world::<Again>(consumer::<Again>(), &again, &down), &kafka).await;
    eventually("it comes again", SOON, || again.len() == 1).await;
    assert_eq!(again.all(), [(2, 1)], "and what was handled does not");
    stop(running).await;
}
