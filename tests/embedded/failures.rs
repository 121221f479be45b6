//! One failure path for all ways to fail (reliability row 4).

use tidings::clock::Millis;
use tidings::consumer::*;
use tidings::event::header;
use tidings::publisher::Publisher;

use crate::events::{Contract, Note, contract, note, topic};
use crate::stage::*;
use crate::support::{SOON, Seen, eventually};

#[derive(Clone, Copy, PartialEq)]
enum How {
    Error,
    PanicBeforeItsFuture,
    PanicAtOnce,
    PanicAfterAnAwait,
    Hang,
}

async fn fail(how: How) -> Result<(), HandlerError> {
    match how {
        How::Error => {
            let long = "ü".repeat(2_000);
            Err(HandlerError::transient(format!("boom\r\nINFO all is well\0 {long}")))
        }
        How::PanicBeforeItsFuture => unreachable!("it has panicked already"),
        How::PanicAtOnce => panic!("boom"),
        How::PanicAfterAnAwait => {
            tokio::task::yield_now().await;
            panic!("{} later", "boom");
        }
        How::Hang => std::future::pending().await,
    }
}

/// Event 1 of each key fails at its first two attempts, and event 2 follows it.
async fn takes_the_failure_path<C: Contract>(how: How, says: &str) {
    let kafka = client();
    let seen = Seen::<(String, u32, u32)>::default();
    let handler = {
        let seen = seen.clone();
        move |Event(note): Event<Note<C>>, Attempt(attempt): Attempt| {
            let fails = note.n == 1 && attempt < 3;
            seen.add((note.key, note.n, attempt));
            assert!(!fails || how != How::PanicBeforeItsFuture, "boom");
            async move { if fails { fail(how).await } else { Ok(()) } }
        }
    };
    let builder = consumer::<C>().handle_named("fails", handler).handler_timeout(ms(200));
    let running = start(builder, &kafka).await;
    let publisher = Publisher::new(&kafka);
    let keys = ["a", "b", "c", "d"];
    let events = keys.iter().flat_map(|key| [note::<C>(*key, 1), note(*key, 2)]);
    publisher.publish_all(events).await.unwrap();
    eventually("each key is done", SOON, || seen.len() == 4 * keys.len()).await;
    let counts = running.status().counts();
    eventually("all are handled", SOON, || counts.handled() == 8).await;
    assert_eq!((counts.retried(), counts.dead_lettered(), counts.quarantined()), (8, 0, 0));
    stop(running).await;

    let all = seen.all();
    for key in keys {
        let of_key: Vec<_> =
            all.iter().filter(|(k, ..)| k == key).map(|(_, n, a)| (*n, *a)).collect();
        assert_eq!(of_key[0], (1, 1), "key {key}: {of_key:?}");
        let first: Vec<_> = of_key.iter().filter(|(n, _)| *n == 1).map(|(_, a)| *a).collect();
        assert_eq!(first, [1, 2, 3], "attempts rise");
        assert_eq!(of_key.iter().filter(|(n, _)| *n == 2).count(), 1, "event 2 runs once");
    }
    let main = lies_on(&kafka, &topic::<C>()).await;
    let first = lies_on(&kafka, &beside::<C>("retry.50ms")).await;
    let second = lies_on(&kafka, &beside::<C>("retry.100ms")).await;
    assert_eq!((first.len(), second.len()), (4, 4), "each once");
    for before in main.iter().filter(|record| numbers(std::slice::from_ref(record)) == [1]) {
        let id = before.headers.get(header::ID);
        let mut failed = Vec::new();
        for (tier, attempt) in [(&first, "1"), (&second, "2")] {
            let after = tier.iter().find(|record| record.headers.get(header::ID) == id).unwrap();
            assert_kept(&sent(before), after);
            assert_eq!(after.partition, before.partition);
            for (name, expected) in [
                (header::RETRY_ATTEMPT, attempt),
                (header::RETRY_GROUP, C::TOPIC),
                (header::RETRY_HANDLER, "fails"),
                (header::ORIGIN_TOPIC, C::TOPIC),
                (header::ORIGIN_PARTITION, &before.partition.to_string()),
                (header::ORIGIN_OFFSET, &before.offset.to_string()),
                (header::ORIGIN_TIMESTAMP, &before.timestamp.unwrap().millis().to_string()),
                (header::ERROR_KIND, "transient"),
            ] {
                assert_eq!(text(after, name), expected, "{name}");
            }
            let message = text(after, header::ERROR_MESSAGE);
            assert!(message.contains(says) && message.len() <= 1024, "{message}");
            assert!(!message.contains(char::is_control), "{message:?}");
            let at = |name| text(after, name).parse::<Millis>().unwrap();
            let (due, last) = (at(header::RETRY_NOT_BEFORE), at(header::LAST_FAILED_AT));
            assert!(due > last, "due at {due}, failed at {last}");
            failed.push((at(header::FIRST_FAILED_AT), at(header::LAST_FAILED_AT)));
        }
        assert_eq!(failed[0].0, failed[1].0, "when it failed first is kept");
        assert!(failed[0].1 < failed[1].1, "when it failed last is not");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_whose_handler_errs_takes_the_failure_path_and_the_next_of_its_key_runs() {
    contract!(Errs: "failures.errs");
    takes_the_failure_path::<Errs>(How::Error, "boom  INFO all is well  ü").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_whose_handler_panics_before_its_future_takes_the_failure_path() {
    contract!(Panics: "failures.panics");
    takes_the_failure_path::<Panics>(How::PanicBeforeItsFuture, "panicked: boom").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_whose_handler_panics_at_once_takes_the_failure_path() {
    contract!(PanicsAtOnce: "failures.panics_at_once");
    takes_the_failure_path::<PanicsAtOnce>(How::PanicAtOnce, "panicked: boom").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_whose_handler_panics_after_an_await_takes_the_failure_path() {
    contract!(PanicsLater: "failures.panics_later");
    takes_the_failure_path::<PanicsLater>(How::PanicAfterAnAwait, "panicked: boom later").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_whose_handler_hangs_is_cancelled_and_takes_the_failure_path() {
    contract!(Hangs: "failures.hangs");
    takes_the_failure_path::<Hangs>(How::Hang, "did not finish within 200ms").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outcome_says_again_or_never_without_an_error() {
    contract!(Outcomes: "failures.outcomes");
    let kafka = client();
    let seen = Seen::<(u32, u32)>::default();
    let handler = {
        let seen = seen.clone();
        move |Event(note): Event<Note<Outcomes>>, Attempt(attempt): Attempt| {
            seen.add((note.n, attempt));
            async move {
                Ok::<_, HandlerError>(match (note.n, attempt) {
                    (1, 1) => Outcome::Retry { reason: "not yet".into() },
                    (2, _) => Outcome::Drop { reason: "nobody minds".into() },
                    _ => Outcome::Ack,
                })
            }
        }
    };
    let running = start(consumer::<Outcomes>().handle_named("says", handler), &kafka).await;
    let publisher = Publisher::new(&kafka);
    publisher.publish_all((1..=3).map(|n| note::<Outcomes>("k", n))).await.unwrap();
    let counts = running.status().counts();
    eventually("two are handled", SOON, || counts.handled() == 2).await;
    let mut all = seen.all();
    all.sort_unstable();
    assert_eq!(all, [(1, 1), (1, 2), (2, 1), (3, 1)]);
    assert_eq!((counts.dropped(), counts.retried(), counts.dead_lettered()), (1, 1, 0));
    let tier = lies_on(&kafka, &beside::<Outcomes>("retry.50ms")).await;
    assert_eq!(text(&tier[0], header::ERROR_MESSAGE), "not yet");
    assert!(lies_on(&kafka, &beside::<Outcomes>("dlq")).await.is_empty());
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_dead_letters_off_an_event_out_of_retries_is_dropped_and_counted() {
    contract!(Off: "failures.off");
    let kafka = client();
    let handler = |Event(note): Event<Note<Off>>| async move {
        if note.n == 1 { Err(HandlerError::permanent("never")) } else { Ok(()) }
    };
    let builder =
        consumer::<Off>().handle_named("never", handler).retry(quick().dead_letter(false));
    let names = consumer::<Off>()
        .handle_named("never", handler)
        .retry(quick().dead_letter(false))
        .build(&kafka)
        .unwrap()
        .topic_names();
    assert!(!names.contains(&beside::<Off>("dlq")), "{names:?}");
    let running = start(builder, &kafka).await;
    let publisher = Publisher::new(&kafka);
    publisher.publish_all((1..=2).map(|n| note::<Off>("k", n))).await.unwrap();
    let counts = running.status().counts();
    eventually("the next one runs", SOON, || counts.handled() == 1).await;
    assert_eq!((counts.dropped(), counts.dead_lettered(), counts.retried()), (1, 0, 0));
    stop(running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retries_in_place_keep_the_key_waiting_and_each_is_an_attempt() {
    contract!(InPlace: "failures.in_place");
    let kafka = client();
    let seen = Seen::<(u32, u32)>::default();
    let handler = {
        let seen = seen.clone();
        move |Event(note): Event<Note<InPlace>>, Attempt(attempt): Attempt| {
            seen.add((note.n, attempt));
            let calls = seen.len();
            async move {
                if note.n == 1 && calls < 3 {
                    Err(HandlerError::transient("again"))
                } else {
                    Ok(())
                }
            }
        }
    };
    let policy = quick().immediate(2).backoff(tidings::retry::Backoff::fixed(ms(20)));
    let builder = consumer::<InPlace>().handle_named("again", handler).retry(policy);
    let running = start(builder, &kafka).await;
    let publisher = Publisher::new(&kafka);
    publisher.publish_all((1..=2).map(|n| note::<InPlace>("k", n))).await.unwrap();
    let counts = running.status().counts();
    eventually("both are handled", SOON, || counts.handled() == 2).await;
    assert_eq!(seen.all(), [(1, 1), (1, 2), (1, 3), (2, 1)]);
    assert_eq!(counts.retried(), 0);
    stop(running).await;
}
