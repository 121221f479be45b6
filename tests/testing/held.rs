//! A paused clock that is held while something happens on another thread.

use std::time::Duration;

use tidings::testing::hold_time;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

/// Work of another thread, which the runtime does not know of: a database's, say.
async fn elsewhere() {
    let (tell, told) = oneshot::channel();
    std::thread::spawn(move || {
        // Nobody tells it anything: it waits for the time.
        let (_never, wait) = std::sync::mpsc::channel::<()>();
        let _ = wait.recv_timeout(Duration::from_millis(20));
        tell.send(()).unwrap();
    });
    told.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn no_time_passes_while_it_is_held() {
    let began = Instant::now();
    let free = timeout(Duration::from_secs(30), elsewhere()).await;
    assert!(free.is_err(), "without a hold the time-out comes at once");
    assert_eq!(began.elapsed(), Duration::from_secs(30));

    let began = Instant::now();
    let held = hold_time(timeout(Duration::from_secs(30), elsewhere())).await;
    assert!(held.is_ok());
    assert_eq!(began.elapsed(), Duration::ZERO);

    sleep(Duration::from_secs(3_600)).await;
    assert_eq!(began.elapsed(), Duration::from_secs(3_600), "afterwards it goes on");
}

#[tokio::test]
async fn on_a_real_clock_a_hold_changes_nothing() {
    hold_time(elsewhere()).await;
    hold_time(sleep(Duration::from_millis(1))).await;
}
