//! Row 16: a dead letter that its topic finds too large.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::super::{Consumer, Event, HandlerError, RunningConsumer};
use super::stage::*;
use crate::event::header;
use crate::transport::{ProduceError, Received};

/// A consumer whose handler fails for good, with a long text.
async fn failing(stage: &Stage) -> RunningConsumer {
    let handler =
        |_: Event<Noted>| async { Err::<(), _>(HandlerError::permanent("no use ".repeat(1_000))) };
    let built = consumer().handle_named("fail", handler).build(stage).map(Consumer::start);
    let running = built.unwrap().await.unwrap();
    stage.assign(0, [0]);
    running
}

/// From now on records whose headers have more bytes than this are too large.
fn limit(stage: &Stage) -> Arc<AtomicUsize> {
    let limit = Arc::new(AtomicUsize::new(0));
    let most = limit.clone();
    stage.refuse_records(move |record| {
        let too_large = record.headers.size() > most.load(Ordering::Relaxed);
        let (topic, reason) = (record.topic.clone(), "its headers".into());
        too_large.then_some(ProduceError::TooLarge { topic, reason })
    });
    limit
}

fn said<'a>(dead: &'a Received, name: &str) -> &'a str {
    dead.headers.get_str(name).unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_that_is_too_large_goes_without_its_error_text() {
    let stage = Stage::new(1, 100);
    limit(&stage).store(400, Ordering::Relaxed);
    let running = failing(&stage).await;
    stage.put([(0, "k", 1)]);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let dead = stage.lies_on("noted.dlq");
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].payload.as_deref(), Some(&br#"{"key":"k","n":1}"#[..]));
    assert_eq!(said(&dead[0], header::ERROR_MESSAGE), "");
    assert_eq!(said(&dead[0], header::ERROR_KIND), "permanent");
    assert_eq!(
        (said(&dead[0], header::ORIGIN_OFFSET), said(&dead[0], header::RETRY_HANDLER)),
        ("0", "fail")
    );
    assert!(running.status().is_ready());
    assert_eq!(stage.committed(0), 1);
    assert!(running.stop(Duration::from_secs(1)).await.is_clean());
}

#[tokio::test(start_paused = true)]
async fn one_that_is_too_large_all_the_same_is_kept_and_named_until_its_topic_takes_it() {
    let stage = Stage::new(1, 100);
    let limit = limit(&stage);
    let running = failing(&stage).await;
    stage.put([(0, "k", 1), (0, "k", 2)]);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let problems = running.status().problems().join("; ");
    for part in ["noted/0: ", "noted/0@0", "noted.dlq", "raise its max.message.bytes"] {
        assert!(problems.contains(part), "{part}: {problems}");
    }
    assert_eq!(running.status().paused(), [at(&MAIN, 0)]);
    assert_eq!((stage.committed(0), running.status().counts().dead_lettered()), (0, 0));
    let tries = stage.said().iter().filter(|line| line.contains("refused noted.dlq")).count();
    assert!((20..50).contains(&tries), "{tries} in a minute, two at a time");

    limit.store(usize::MAX, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(6)).await;
    let dead = stage.lies_on("noted.dlq");
    assert_eq!(dead.len(), 2, "the one behind it too");
    assert!(said(&dead[0], header::ERROR_MESSAGE).starts_with("no use no use"), "with all it says");
    assert!(running.status().is_ready());
    assert!(running.stop(Duration::from_secs(1)).await.is_clean());
    assert_eq!(stage.committed(0), 2);
}
