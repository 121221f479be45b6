//! Reasons to pause are independent (reliability rows 19 and 20).

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tidings::consumer::*;
use tidings::event::header;
use tidings::retry::RetryPolicy;

use crate::events::{Contract, Note, contract, topic};
use crate::stage::*;
use crate::support::{SOON, Seen, eventually};

fn noted<C: Contract>(
    seen: &Seen<(u32, u32)>,
) -> impl Fn(Event<Note<C>>, Attempt) -> std::future::Ready<Result<(), HandlerError>>
+ Send
+ Sync
+ 'static {
    let seen = seen.clone();
    move |Event(note), Attempt(attempt)| {
        seen.add((note.n, attempt));
        let fails = note.n == 1 && attempt == 1;
        std::future::ready(if fails { Err(HandlerError::transient("once")) } else { Ok(()) })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_the_user_pauses_during_a_tier_wait_stays_so_until_it_is_resumed() {
    contract!(Paused: "pauses.user");
    contract!(Free: "pauses.free");
    let kafka = client();
    let (paused, free) = (Seen::<(u32, u32)>::default(), Seen::<(u32, u32)>::default());
    let builder = consumer::<Paused>()
        .handle_named("paused", noted::<Paused>(&paused))
        .handle_named("free", noted::<Free>(&free))
        .retry(RetryPolicy::tiers([ms(300)]).immediate(0));
    let running = start(builder, &kafka).await;
    let status = running.status().clone();
    put(&kafka, &written::<Paused>("k", 1)).await;
    eventually("one waits on a tier", SOON, || status.counts().retried() == 1).await;
    status.pause(topic::<Paused>());
    let named = |topic| status.paused().iter().any(|partition| partition.topic == topic);
    eventually("it is paused, and its tier with it", SOON, || {
        named(topic::<Paused>()) && named(beside::<Paused>("retry.300ms"))
    })
    .await;
    assert!(!named(topic::<Free>()));
    let ran = |seen: &Seen<(u32, u32)>, n, attempt| seen.all().contains(&(n, attempt));
    let held = 10;
    put(&kafka, &written::<Paused>("k", held)).await;
    put(&kafka, &written::<Free>("k", held)).await;
    eventually("the other topic goes on", SOON, || ran(&free, held, 1)).await;
    assert!(!ran(&paused, held, 1), "{paused:?}");
    // A tier of the paused topic is paused with it. The free topic's tier says when it would be due.
    for (group, handler, record) in [
        ("pauses.user", "paused", on_tier::<Paused>(written::<Paused>("k", 900), "300ms", &[])),
        ("pauses.user", "free", on_tier::<Free>(written::<Free>("k", 1), "300ms", &[])),
    ] {
        let mut record = record;
        record.headers.push(header::RETRY_GROUP, group);
        record.headers.push(header::RETRY_HANDLER, handler);
        put(&kafka, &record).await;
    }
    eventually("the free tier comes due", SOON, || ran(&free, 1, 2)).await;
    assert!(!ran(&paused, 900, 2) && !ran(&paused, held, 1), "{paused:?}");

    status.resume(&topic::<Paused>());
    eventually("all of it runs", SOON, || {
        ran(&paused, 1, 2) && ran(&paused, 900, 2) && ran(&paused, held, 1)
    })
    .await;
    stop(running).await;
    let mut all = paused.all();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), paused.len(), "each once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pauses_and_resumes_by_the_user_let_nothing_out_of_a_tier_early_twice_or_in_disorder() {
    contract!(Tier: "pauses.tier");
    const TIER: u64 = 1_500;
    let kafka = client();
    let early = Seen::<u32>::default();
    let seen = Seen::<u32>::default();
    let put_at = Arc::new(Mutex::new(HashMap::<u32, Instant>::new()));
    let handler = {
        let (seen, early, put_at) = (seen.clone(), early.clone(), put_at.clone());
        move |Event(note): Event<Note<Tier>>| {
            // Timestamps are whole milliseconds.
            if put_at.lock().unwrap()[&note.n].elapsed() + ms(1) < ms(TIER) {
                early.add(note.n);
            }
            seen.add(note.n);
            std::future::ready(Ok::<_, HandlerError>(()))
        }
    };
    let builder = consumer::<Tier>()
        .handle_named("note", handler)
        .retry(RetryPolicy::tiers([ms(TIER)]).immediate(0));
    let running = start(builder, &kafka).await;
    let status = running.status().clone();
    let group = [(header::RETRY_GROUP, "pauses.tier"), (header::RETRY_HANDLER, "note")];
    // More than wait in memory, so that the tier is paused for its own reason too.
    for n in 0..400 {
        put_at.lock().unwrap().insert(n, Instant::now());
        put(&kafka, &on_tier::<Tier>(written::<Tier>("k", n), "1500ms", &group)).await;
    }
    let is_paused = || status.paused().iter().any(|p| p.topic == topic::<Tier>());
    for _ in 0..10 {
        status.pause(topic::<Tier>());
        eventually("it is paused", SOON, is_paused).await;
        status.resume(&topic::<Tier>());
        eventually("it is resumed", SOON, || !is_paused()).await;
    }
    eventually("all of them run", SOON, || seen.len() == 400).await;
    stop(running).await;
    assert_eq!(early.all(), Vec::<u32>::new());
    assert_eq!(seen.all(), (0..400).collect::<Vec<_>>());
}
