//! What a run says in the end: to people, or as one line of JSON.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use super::findings::{End, Findings};
use crate::database::Kind;

/// The most problems of a kind that are listed for people; JSON has all.
const LISTED: usize = 20;

/// The report of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    pub sound: bool,
    /// Whether everything came to its end before the time was over.
    pub settled: bool,
    pub broker: String,
    pub database: Kind,
    /// Where the services' logs are, where something is wrong and they are in files.
    pub logs: Option<PathBuf>,
    /// From the first request until all was settled.
    pub seconds: f64,
    /// Of that, until the last request was answered.
    pub driving_seconds: f64,
    #[serde(flatten)]
    pub findings: Findings,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Findings { latency, retried, .. } = &self.findings;
        let found = &self.findings;
        let tiers: Vec<_> =
            retried.iter().map(|(tier, count)| format!("{count} at {tier}")).collect();
        let tiers = if tiers.is_empty() { "none".into() } else { tiers.join(", ") };
        writeln!(f, "broker            {}", self.broker)?;
        writeln!(f, "database          {}", self.database)?;
        writeln!(f, "users             {}", found.users)?;
        writeln!(f, "events published  {}", found.events_published)?;
        writeln!(f, "mails sent        {}", found.mails_sent)?;
        writeln!(f, "retried           {tiers}")?;
        writeln!(f, "dead letters      {}", found.dead_lettered)?;
        writeln!(f, "missing           {}", found.missing.len())?;
        writeln!(f, "doubled           {}", found.doubled.len())?;
        writeln!(
            f,
            "out of order      {} ({} goodbyes overtook a welcome that was being retried, which is allowed)",
            found.out_of_order.len(),
            found.overtaken
        )?;
        writeln!(
            f,
            "event to mail     p50 {} ms, p95 {} ms, p99 {} ms, longest {} ms; retried ones not counted",
            latency.p50_ms, latency.p95_ms, latency.p99_ms, latency.max_ms
        )?;
        writeln!(
            f,
            "seconds           {:.1}, of which {:.1} driving",
            self.seconds, self.driving_seconds
        )?;
        if !found.failed.is_empty() {
            writeln!(f, "\nwhere each failed one ended")?;
        }
        for fate in &found.failed {
            write!(f, "  {:<8}", format!("{:?}", fate.mail).to_lowercase())?;
            write!(f, " {:<36} {} failed deliveries, then ", fate.to, fate.failed_deliveries)?;
            match &fate.end {
                End::Delivered { after_ms, .. } => {
                    writeln!(f, "taken {:.1} s after the event", *after_ms as f64 / 1000.0)?;
                }
                End::DeadLetter(letter) => writeln!(
                    f,
                    "{}, partition {}, offset {}: {}",
                    letter.topic, letter.partition, letter.offset, letter.error
                )?,
                End::Nowhere => writeln!(f, "nothing")?,
            }
        }
        problems(
            f,
            &[
                ("missing", &found.missing),
                ("doubled", &found.doubled),
                ("out of order", &found.out_of_order),
                ("unexpected", &found.unexpected),
            ],
        )?;
        let verdict = match (self.sound, self.settled) {
            (true, _) => "Nothing is missing, doubled or out of order.",
            (false, true) => "Something is wrong.",
            (false, false) => {
                "Something is wrong: the time was over before everything was settled."
            }
        };
        write!(f, "\n{verdict}")?;
        match &self.logs {
            Some(logs) => write!(f, " The services' logs are in {}.", logs.display()),
            None => Ok(()),
        }
    }
}

/// Lists what is wrong, kind by kind.
pub(super) fn problems(f: &mut fmt::Formatter<'_>, kinds: &[(&str, &Vec<String>)]) -> fmt::Result {
    for (what, problems) in kinds {
        for problem in problems.iter().take(LISTED) {
            writeln!(f, "{what}: {problem}")?;
        }
        if problems.len() > LISTED {
            writeln!(f, "{what}: and {} more", problems.len() - LISTED)?;
        }
    }
    Ok(())
}
