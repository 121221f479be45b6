//! `worker`: runs workers that the binary knows, until Ctrl-C.

use std::pin::pin;
use std::time::Duration;

use indicatif::ProgressBar;
use serde_json::json;
use tokio::time::Instant;

use super::args::RunWorkers;
use super::connect::Session;
use super::error::{CliError, Exit};
use super::out::Out;
use super::progress;
use crate::consumer::{StartError, StopReport};
use crate::error::chain;
use crate::transport::Transport as _;
use crate::transport::kafka::Kafka;
use crate::worker::{RunningWorkers, WorkerStatus, Workers, WorkersError};

/// How often the line on a terminal is looked at.
const LIVE: Duration = Duration::from_secs(1);
/// How long the stop waits for what is left to read.
const LAGS: Duration = Duration::from_secs(1);

pub(super) async fn run(
    session: &Session,
    wanted: RunWorkers,
    out: &mut Out,
) -> Result<(), CliError> {
    let mut terminated = pin!(terminated());
    let names = session.app.workers_named(&wanted)?;
    let kafka = session.connect()?;
    let mut workers = Workers::new();
    for name in names {
        workers = workers.worker(session.app.worker_named(name, &kafka)?);
    }
    let mut running = tokio::select! {
        biased;
        () = session.interrupted() => return Err(CliError::interrupted()),
        () = &mut terminated => return Err(CliError::interrupted()),
        started = workers.start() => started.map_err(not_started)?,
    };
    let statuses = running.statuses();
    let mut watch = Watch { statuses, bar: progress::line(), within: session.within() };
    let why = tokio::select! {
        biased;
        () = session.interrupted() => Why::Interrupted,
        () = &mut terminated => Why::Terminated,
        () = running.ended() => Why::ByItself,
        failed = watch.tell(wanted.every, out) => Why::NobodyListens(failed),
    };
    watch.bar.set_message("stopping");
    let once_more = async {
        match why {
            Why::Interrupted => session.interrupted_again().await,
            _ => session.interrupted().await,
        }
    };
    // What is dropped with it was not committed: the next one does it again.
    tokio::select! {
        biased;
        () = once_more => {
            watch.bar.finish_and_clear();
            Err(CliError::interrupted_at_work())
        }
        ended = end(running, &mut watch, &kafka, wanted.drain, &why, out) => match why {
            Why::NobodyListens(failed) => failed,
            _ => ended,
        },
    }
}

/// Why workers are to end.
enum Why {
    Interrupted,
    Terminated,
    ByItself,
    /// The output cannot be written.
    NobodyListens(Result<(), CliError>),
}

/// Ends what runs, within the drain, and says how that went.
async fn end(
    running: RunningWorkers,
    watch: &mut Watch,
    kafka: &Kafka,
    drain: Duration,
    why: &Why,
    out: &mut Out,
) -> Result<(), CliError> {
    let deadline = Instant::now() + drain;
    // What is left to read is asked for while the groups still have their members; it is part of the drain.
    let lags = tokio::time::timeout(LAGS.min(drain), watch.lags()).await;
    let lags = lags.unwrap_or_else(|_| vec![None; watch.statuses.len()]);
    let reports = running.stop(deadline.saturating_duration_since(Instant::now())).await;
    let given_up = flush(kafka, deadline).await;
    watch.bar.finish_and_clear();
    watch.summary(out, &lags, Some(&reports))?;
    let mut problems = problems(&reports);
    if given_up > 0 {
        problems.push(format!(
            "{given_up} records that workers sent were not acknowledged; `--drain` gives them more time"
        ));
    }
    if matches!(why, Why::ByItself) && problems.is_empty() {
        problems.push("a worker ended by itself".into());
    }
    if !problems.is_empty() {
        return Err(CliError::new(Exit::Refused, problems.join("; ")));
    }
    Ok(())
}

/// Gives what workers sent without waiting for it the rest of the drain; answers how much was given up.
async fn flush(kafka: &Kafka, deadline: Instant) -> usize {
    let left = deadline.saturating_duration_since(Instant::now());
    kafka.producer().close(left).await.len()
}

/// Waits for SIGTERM: what a supervisor sends to a service.
fn terminated() -> impl Future<Output = ()> {
    #[cfg(unix)]
    let signal = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
    async move {
        #[cfg(unix)]
        if let Ok(mut signal) = signal
            && signal.recv().await.is_some()
        {
            return;
        }
        std::future::pending().await
    }
}

/// Tells how workers are doing: a live line on a terminal, lines from time to time otherwise.
struct Watch {
    statuses: Vec<WorkerStatus>,
    bar: ProgressBar,
    within: Duration,
}

impl Watch {
    /// Tells until the output cannot be written.
    async fn tell(&mut self, every: Duration, out: &mut Out) -> Result<(), CliError> {
        let live = !self.bar.is_hidden();
        let mut pace = tokio::time::interval(if live { LIVE } else { every });
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        pace.tick().await;
        loop {
            pace.tick().await;
            let lags = self.lags().await;
            if live {
                let each = self.statuses.iter().zip(&lags);
                let lines: Vec<_> = each.map(|(status, lag)| line(status, *lag)).collect();
                self.bar.set_message(lines.join("  |  "));
            } else {
                self.summary(out, &lags, None)?;
            }
        }
    }

    /// What is left to read, where the broker says it.
    async fn lags(&self) -> Vec<Option<u64>> {
        let each = self.statuses.iter().map(|status| status.lag(self.within));
        futures::future::join_all(each).await.into_iter().map(Result::ok).collect()
    }

    /// A line for each worker.
    fn summary(
        &self,
        out: &mut Out,
        lags: &[Option<u64>],
        ended: Option<&[(String, StopReport)]>,
    ) -> Result<(), CliError> {
        for (at, (status, lag)) in self.statuses.iter().zip(lags).enumerate() {
            if out.is_json() {
                let mut document = json!({
                    "worker": status.name(),
                    "done": status.done(),
                    "failed": status.failed(),
                    "lag": lag,
                    "rate": (status.rate() * 10.0).round() / 10.0,
                    "ready": ended.is_none() && status.is_ready(),
                });
                if let Some((_, report)) = ended.and_then(|reports| reports.get(at)) {
                    document["unfinished"] = json!(report.unfinished.len());
                }
                out.line(&document.to_string())?;
            } else {
                out.line(&line(status, *lag))?;
            }
        }
        Ok(())
    }
}

fn line(status: &WorkerStatus, lag: Option<u64>) -> String {
    let lag = lag.map_or_else(|| "?".into(), |lag| lag.to_string());
    let (name, done, failed) = (status.name(), status.done(), status.failed());
    let problems = status.problems();
    let problem = problems.first().map_or_else(String::new, |first| format!("  ({first})"));
    format!("{name}  done {done}  failed {failed}  lag {lag}  {:.1}/s{problem}", status.rate())
}

fn problems(reports: &[(String, StopReport)]) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, report) in reports {
        if !report.unfinished.is_empty() {
            let count = report.unfinished.len();
            problems.push(format!(
                "worker {name} left {count} inputs unfinished, which will be read again; `--drain` gives them more time"
            ));
        }
        if report.stuck_members > 0 {
            problems.push(format!("worker {name} did not leave its group in time"));
        }
        problems.extend(report.failures.iter().map(|why| format!("worker {name} ended: {why}")));
    }
    problems
}

fn not_started(error: WorkersError) -> CliError {
    let WorkersError::Start { worker, source } = error else {
        return CliError::input(error.to_string());
    };
    let text = format!("worker {worker} did not start: {}", chain(&source));
    let cause = match source {
        StartError::Topics(error) => CliError::from(error),
        StartError::Transport(error) => error.into(),
        StartError::Inbox(_) => CliError::input(""),
    };
    // The worker's own start wait, which its text says.
    cause.told(text).with_its_time()
}
