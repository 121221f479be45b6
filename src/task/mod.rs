//! The tasks that the library starts: each goes through here, so that a simulator can say when it is
//! polled, and that it never is again.

#[cfg(feature = "testing")]
mod process;

#[cfg(feature = "testing")]
pub(crate) use process::{Process, Turn, within};

/// The task as one of whoever starts it: of the simulated process that is being polled, if one is.
#[cfg(feature = "testing")]
pub(crate) fn owned<F: Future>(task: F) -> impl Future<Output = F::Output> {
    process::scheduled(process::current(), task)
}

/// Without a simulator the task is polled as it is.
#[cfg(not(feature = "testing"))]
pub(crate) fn owned<F: Future>(task: F) -> F {
    task
}
