//! Simulated processes: each poll of a task of one is granted, put off or refused.

use std::any::Any;
use std::cell::RefCell;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

thread_local! {
    /// Whose task is being polled on this thread.
    static CURRENT: RefCell<Option<Arc<dyn Process>>> = const { RefCell::new(None) };
}

/// Says when tasks are polled.
pub(crate) trait Process: Send + Sync + 'static {
    /// One of its tasks is ready.
    fn turn(&self) -> Turn;
    /// One of its tasks has panicked, which goes on to whoever waits for the task.
    fn panicked(&self, panic: &(dyn Any + Send));
}

/// Whether a task that is ready is polled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It is.
    Now,
    /// Others that are ready go first.
    Later,
    /// It never is again: the process is no more.
    Never,
}

/// A task of a process. What it starts belongs to the process, too.
pub(crate) fn within<F: Future>(
    process: Arc<dyn Process>,
    task: F,
) -> impl Future<Output = F::Output> {
    scheduled(Some(process), task)
}

pub(super) fn current() -> Option<Arc<dyn Process>> {
    CURRENT.with_borrow(Clone::clone)
}

pub(super) async fn scheduled<F: Future>(process: Option<Arc<dyn Process>>, task: F) -> F::Output {
    let mut task = pin!(task);
    poll_fn(|cx| {
        let Some(process) = &process else { return task.as_mut().poll(cx) };
        match process.turn() {
            Turn::Now => {
                let _polled = Polled(CURRENT.replace(Some(process.clone())));
                let poll = AssertUnwindSafe(|| task.as_mut().poll(cx));
                catch_unwind(poll).unwrap_or_else(|panic| {
                    process.panicked(&*panic);
                    resume_unwind(panic)
                })
            }
            Turn::Later => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Turn::Never => Poll::Pending,
        }
    })
    .await
}

/// A poll under way; then it is again the turn of who was polled before, also after a panic.
struct Polled(Option<Arc<dyn Process>>);

impl Drop for Polled {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// Grants so many polls, puts every other one off, and keeps what panics say.
    struct Grants(AtomicU32, Mutex<bool>, Mutex<Vec<String>>);

    impl Process for Grants {
        fn turn(&self) -> Turn {
            let mut later = self.1.lock().unwrap();
            *later = !*later;
            if *later {
                return Turn::Later;
            }
            let left = self.0.load(Ordering::SeqCst);
            self.0.store(left.saturating_sub(1), Ordering::SeqCst);
            if left == 0 { Turn::Never } else { Turn::Now }
        }

        fn panicked(&self, panic: &(dyn Any + Send)) {
            let message = crate::task::message(panic).unwrap_or_default();
            self.2.lock().unwrap().push(message.to_owned());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_and_what_it_starts_end_with_the_last_poll_that_is_granted() {
        let steps = Arc::new(AtomicU32::new(0));
        let process = Arc::new(Grants(AtomicU32::new(5), Mutex::default(), Mutex::default()));
        let count = steps.clone();
        let main = within(process, async move {
            let (own, inner) = (count.clone(), count);
            tokio::spawn(crate::task::owned(async move {
                loop {
                    inner.fetch_add(1, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                }
            }));
            loop {
                own.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
            }
        });
        let task = tokio::spawn(main);
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        assert_eq!(steps.load(Ordering::SeqCst), 5);
        task.abort();
        assert!(current().is_none());
    }
    #[tokio::test(start_paused = true)]
    async fn a_panic_of_a_task_is_told_and_goes_on_to_who_waits_for_it() {
        let grants = Grants(AtomicU32::new(5), Mutex::default(), Mutex::default());
        let process = Arc::new(grants);
        let main = within(process.clone(), async {
            tokio::spawn(crate::task::owned(async { panic!("a {}", "bug") })).await
        });
        assert!(tokio::spawn(main).await.unwrap().unwrap_err().is_panic());
        assert_eq!(*process.2.lock().unwrap(), ["a bug"]);
        assert!(current().is_none());
    }
}
