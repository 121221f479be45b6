//! The tasks that the library starts: each goes through here, so that a simulator can say when it is
//! polled, and that it never is again.

#[cfg(feature = "testing")]
mod process;

#[cfg(feature = "testing")]
pub(crate) use process::{Process, Turn, within};

/// What a panic said, if it did.
pub(crate) fn message(panic: &(dyn std::any::Any + Send)) -> Option<&str> {
    let said = panic.downcast_ref::<&str>().copied();
    said.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
}

/// Notes a panic that is not passed on: whoever owns the task hears of it all the same.
#[cfg(feature = "testing")]
pub(crate) fn panicked(panic: &(dyn std::any::Any + Send)) {
    if let Some(process) = process::current() {
        process.panicked(panic);
    }
}

/// Without a simulator nobody else wants to hear of it.
#[cfg(not(feature = "testing"))]
pub(crate) fn panicked(_: &(dyn std::any::Any + Send)) {}

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
