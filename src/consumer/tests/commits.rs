//! Row 10: commits that the group refuses for a while.

use std::time::Duration;

use super::super::{Consumer, Event, HandlerError};
use super::stage::*;
use crate::error::ErrorClass;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[tokio::test(start_paused = true)]
async fn a_refused_commit_is_sent_again_soon_and_says_what_is_done_by_then() {
    let stage = Stage::new(1, 100);
    let ok = |_: Event<Noted>| async { Ok::<(), HandlerError>(()) };
    let built = consumer().handle_named("ok", ok).build(&stage).map(Consumer::start);
    let running = built.unwrap().await.unwrap();
    stage.assign(0, [0, 1]);
    stage.put([(0, "k", 0), (1, "k", 1)]);
    tokio::time::sleep(ms(1_500)).await;
    assert_eq!([0, 1].map(|p| stage.committed(p)), [1, 1]);

    // It goes on for three seconds, through triggers of its own and commits that are sent again.
    let until = stage.now() + 3_000;
    let clock = stage.clone();
    stage.refuse_commits(move |_| (clock.now() < until).then_some(ErrorClass::Retriable));
    stage.put([(0, "k", 2)]);
    tokio::time::sleep(ms(2_000)).await;
    stage.put([(0, "k", 3)]);
    assert_eq!(stage.committed(0), 1);
    tokio::time::sleep(ms(1_000)).await;
    let ended = stage.now();
    while stage.committed(0) < 3 {
        tokio::time::sleep(ms(1)).await;
        assert!(stage.now() < ended + 2_200, "it is sent again by itself");
    }
    let refused = stage.said().iter().filter(|line| line.contains("is refused")).count();
    assert!((3..=10).contains(&refused), "{refused} in three seconds");
    assert!(running.status().is_ready());
    assert!(running.stop(ms(100)).await.is_clean());
}

#[tokio::test(start_paused = true)]
async fn a_commit_refused_once_waits_for_no_trigger() {
    let stage = Stage::new(1, 100);
    let ok = |_: Event<Noted>| async { Ok::<(), HandlerError>(()) };
    let built = consumer().handle_named("ok", ok).build(&stage).map(Consumer::start);
    let running = built.unwrap().await.unwrap();
    stage.assign(0, [0]);
    let mut once = Some(ErrorClass::Retriable);
    stage.refuse_commits(move |_| once.take());
    // As many as make a commit; after it nothing is finished any more, and no second is over.
    stage.put((0..50).map(|n| (0, "k", n)));
    tokio::time::sleep(ms(250)).await;
    assert_eq!(stage.committed(0), 50);
    assert!(running.stop(ms(100)).await.is_clean());
}

#[tokio::test(start_paused = true)]
async fn a_place_that_could_not_be_kept_is_kept_soon() {
    let stage = Stage::new(1, 100);
    let ok = |_: Event<Noted>| async { Ok::<(), HandlerError>(()) };
    let first = consumer().handle_named("ok", ok).build(&stage).map(Consumer::start);
    let first = first.unwrap().await.unwrap();
    stage.assign(0, [0]);
    stage.put([(0, "k", 0)]);
    tokio::time::sleep(ms(50)).await;
    assert!(first.stop(ms(100)).await.is_clean());
    assert_eq!(stage.committed(0), 1);

    let second = consumer().handle_named("ok", ok).build(&stage).map(Consumer::start);
    let second = second.unwrap().await.unwrap();
    let mut once = Some(ErrorClass::Retriable);
    stage.refuse_commits(move |_| once.take());
    stage.assign(1, [0]);
    tokio::time::sleep(ms(300)).await;
    let kept = |line: &&String| line.contains("member 1 commits");
    assert_eq!(stage.said().iter().filter(kept).count(), 1, "{:?}", stage.said());
    assert!(second.stop(ms(100)).await.is_clean());
}
