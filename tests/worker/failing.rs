//! What becomes of inputs whose work fails.

use std::time::Duration;

use tidings::consumer::*;
use tidings::event::{TopicName, header};
use tidings::retry::{Backoff, RetryPolicy};
use tidings::transport::memory::{Memory, MemoryBroker};
use tidings::worker::{RunningWorker, Work, Worker, WorkerBuilder};
use tokio::time::Instant;

use crate::stage::*;

type Looks = Seen<(u32, Duration)>;

/// A worker that notes when it sees what; visit 0 always fails.
fn failing(
    seen: &Looks,
) -> WorkerBuilder<tidings::worker::On<Visits>, tidings::worker::NoTopic, Work> {
    let (seen, began) = (seen.clone(), Instant::now());
    Worker::builder("failing").input::<Visits>().process(move |Value(visit): Value<Visit>| {
        seen.add((visit.n, began.elapsed()));
        async move { if visit.n == 0 { Err(HandlerError::transient("no")) } else { Ok(()) } }
    })
}

/// When visit 0 was tried again, counted from its first time, and the order of all.
async fn tried(
    builder: impl FnOnce(
        &Looks,
    )
        -> WorkerBuilder<tidings::worker::On<Visits>, tidings::worker::NoTopic, Work>,
) -> (Vec<u64>, Vec<u32>, MemoryBroker, Memory, RunningWorker) {
    let (broker, client) = stage().await;
    let seen = Looks::default();
    let running = start(builder(&seen), &client).await;
    send(&client, numbered("home", 0..3)).await;
    quiet(&broker).await;
    let all = seen.all();
    let zero: Vec<_> = all.iter().filter(|(n, _)| *n == 0).map(|(_, at)| *at).collect();
    let waits = zero.iter().map(|at| u64::try_from((*at - zero[0]).as_millis()).unwrap()).collect();
    (waits, all.into_iter().map(|(n, _)| n).collect(), broker, client, running)
}

#[tokio::test(start_paused = true)]
async fn retries_wait_as_their_backoff_says_and_the_key_keeps_its_order() {
    let d = ms(100);
    for (backoff, waits) in [
        (Backoff::fixed(d), [0, 100, 200, 300]),
        (Backoff::linear(d), [0, 100, 300, 600]),
        (Backoff::exponential(d), [0, 100, 300, 700]),
        (Backoff::exponential(d).cap(ms(150)), [0, 100, 250, 400]),
    ] {
        let worker = |seen: &Looks| failing(seen).max_retries(3).backoff(backoff);
        let (found, order, broker, _, running) = tried(worker).await;
        assert_eq!(found, waits, "{backoff}");
        assert_eq!(order, [0, 0, 0, 0, 1, 2], "{backoff}");
        assert_eq!((running.status().done(), running.status().failed()), (2, 1));
        let dead = broker.records(&TopicName::from_static("visits.dlq"));
        assert_eq!(numbers(&dead), [0]);
        assert_eq!(dead[0].headers.get_str(header::RETRY_HANDLER), Some("failing"));
        assert!(!broker.topics().iter().any(|(name, _)| name.as_str().contains("retry")));
        clean(&running.stop(secs(5)).await);
    }
}

#[tokio::test(start_paused = true)]
async fn with_tiers_the_others_of_the_key_go_on() {
    let policy = RetryPolicy::tiers([secs(5)]).immediate(1).backoff(Backoff::fixed(ms(10)));
    let (_, order, _, _, running) = tried(|seen| failing(seen).retry(policy)).await;
    assert_eq!(order, [0, 0, 1, 2, 0, 0]);
    assert_eq!((running.status().done(), running.status().failed()), (2, 1));
    clean(&running.stop(secs(5)).await);
}

#[tokio::test(start_paused = true)]
async fn dead_letters_go_where_they_are_to_go_or_nowhere() {
    let letters = TopicName::from_static("errors.of-the-site");
    let named = letters.clone();
    let (.., broker, _, running) =
        tried(move |seen| failing(seen).max_retries(0).dead_letters(named)).await;
    assert_eq!(numbers(&broker.records(&letters)), [0]);
    assert!(!broker.topics().iter().any(|(name, _)| name.as_str() == "visits.dlq"));
    clean(&running.stop(secs(5)).await);

    let (.., broker, _, running) =
        tried(|seen| failing(seen).max_retries(0).dead_letters(false)).await;
    assert!(!broker.topics().iter().any(|(name, _)| name.as_str() == "visits.dlq"));
    assert_eq!((running.status().done(), running.status().failed()), (2, 1), "it is counted");
    clean(&running.stop(secs(5)).await);
}

#[tokio::test(start_paused = true)]
async fn hooks_hear_of_every_attempt_and_change_nothing_by_failing_themselves() {
    let heard = Seen::default();
    let (errors, successes) = (heard.clone(), heard.clone());
    let worker = move |seen: &Looks| {
        failing(seen)
            .max_retries(1)
            .backoff(Backoff::fixed(ms(1)))
            .timeout(secs(1))
            .on_error(|_| async { panic!("in a hook") })
            .on_error(|_| std::future::pending())
            .on_error(move |failed| {
                errors.add(format!("{} {}", failed.kind, failed.message));
                async {}
            })
            .on_success(|_| async { panic!("in a hook") })
            .on_success(move |delivery| {
                successes.add(format!("done {}", delivery.record().offset));
                async {}
            })
    };
    let (_, order, _, _, running) = tried(worker).await;
    assert_eq!(order, [0, 0, 1, 2]);
    assert_eq!(heard.all(), ["transient no", "transient no", "done 1", "done 2"]);
    assert_eq!((running.status().done(), running.status().failed()), (2, 1));
    clean(&running.stop(secs(5)).await);
}

#[tokio::test(start_paused = true)]
async fn work_that_takes_too_long_is_dropped_and_one_that_panics_is_tried_again() {
    let (broker, client) = stage().await;
    let heard = Seen::default();
    let errors = heard.clone();
    let work = |Value(visit): Value<Visit>| async move {
        match visit.n {
            0 => std::future::pending().await,
            1 => panic!("a bug"),
            _ => Ok::<_, HandlerError>(()),
        }
    };
    let builder = Worker::builder("slow")
        .input::<Visits>()
        .process(work)
        .timeout(secs(3))
        .max_retries(1)
        .on_error(move |failed| {
            errors.add(failed.message);
            async {}
        });
    let running = start(builder, &client).await;
    send(&client, numbered("home", 0..3)).await;
    quiet(&broker).await;
    let all = heard.all();
    assert_eq!(all.len(), 4);
    assert!(all[0].contains("did not finish within 3s"), "{all:?}");
    assert!(all[2].contains("panicked: a bug"), "{all:?}");
    assert_eq!((running.status().done(), running.status().failed()), (1, 2));
    clean(&running.stop(secs(5)).await);
}

#[derive(Debug, thiserror::Error)]
#[error("the gateway is down")]
struct GatewayDown;

#[tokio::test(start_paused = true)]
async fn errors_are_classified_before_hooks_hear_of_them() {
    let (broker, client) = stage().await;
    let heard = Seen::default();
    let errors = heard.clone();
    let builder = Worker::builder("pays")
        .input::<Visits>()
        .process(|_: Value<Visit>| async { Err::<(), _>(GatewayDown) })
        .classify(|_: &GatewayDown| FailureKind::Permanent)
        .on_error(move |failed| {
            errors.add(failed.kind);
            async {}
        });
    let running = start(builder, &client).await;
    send(&client, [visit("home", 0)]).await;
    quiet(&broker).await;
    assert_eq!(heard.all(), [FailureKind::Permanent]);
    assert_eq!(running.status().failed(), 1);
    clean(&running.stop(secs(5)).await);
}
