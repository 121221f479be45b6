//! Keeps a paused clock where it is while something happens on other threads.

/// Runs a future while tokio's paused clock stands still.
///
/// A paused clock jumps to the next timer whenever the runtime has nothing to do. It does not know
/// that a database's thread is at work, and so a time-out of the pool may fire at once. Within
/// `hold_time` it waits. A timer inside of the future never fires, then: put into it the call of the
/// database or the request that leads to one, and not what waits for time to pass.
///
/// On a clock that is not paused this changes nothing.
pub async fn hold_time<F: Future>(future: F) -> F::Output {
    // Auto-advance rests while a blocking task runs; this one runs until the sender is dropped.
    let (done, told) = std::sync::mpsc::channel::<()>();
    let held = tokio::task::spawn_blocking(move || told.recv().is_err());
    let output = future.await;
    drop(done);
    // It cannot have panicked, and a runtime that ends does not care.
    let _ = held.await;
    output
}
