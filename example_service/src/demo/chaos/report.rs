//! What a chaotic run says in the end: to people, or as one line of JSON.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use super::check::Findings;
use crate::database::Kind;
use crate::demo::report::problems;

/// The report of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    pub sound: bool,
    /// Whether everything came to its end before the time was over.
    pub settled: bool,
    pub broker: String,
    pub database: Kind,
    /// The same one draws the same kills and users; when a process dies is up to the machine all the same.
    pub seed: u64,
    pub rounds: u32,
    pub kills: Kills,
    /// Requests that were cut off.
    pub unanswered: u64,
    /// Events that the inbox kept from a handler that had handled them. At least: what a process had
    /// counted that was killed is known as it last said it.
    pub duplicates_removed: u64,
    pub seconds: f64,
    #[serde(flatten)]
    pub findings: Findings,
    /// Where the services' logs are, where something is wrong.
    pub logs: Option<PathBuf>,
}

/// How often each was killed.
#[derive(Debug, Default, Clone, Copy, Serialize)]
pub struct Kills {
    pub user_service: u32,
    pub email_service: u32,
    /// 0 where it cannot be killed: the embedded one lives in the demo's own process.
    pub broker: u32,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (found, kills) = (&self.findings, &self.kills);
        writeln!(f, "broker              {}", self.broker)?;
        writeln!(f, "database            {}", self.database)?;
        writeln!(f, "seed                {}", self.seed)?;
        writeln!(
            f,
            "kills               {} in {} rounds: user service {}, email service {}, broker {}",
            kills.user_service + kills.email_service + kills.broker,
            self.rounds,
            kills.user_service,
            kills.email_service,
            kills.broker
        )?;
        writeln!(f, "requests cut off    {}", self.unanswered)?;
        writeln!(f, "users               {}", found.users)?;
        writeln!(f, "events              {}", found.events)?;
        writeln!(f, "published twice     {}", found.published_twice)?;
        writeln!(f, "duplicates removed  {} or more, by the inbox", self.duplicates_removed)?;
        writeln!(f, "mails               {}", found.mails)?;
        writeln!(f, "lost                {}", found.lost.len())?;
        writeln!(f, "doubled             {}", found.doubled.len())?;
        writeln!(
            f,
            "reordered           {} ({} goodbyes overtook a welcome that was being retried, which is allowed)",
            found.reordered.len(),
            found.overtaken
        )?;
        writeln!(f, "seconds             {:.1}", self.seconds)?;
        problems(
            f,
            &[
                ("lost", &found.lost),
                ("doubled", &found.doubled),
                ("reordered", &found.reordered),
                ("unexpected", &found.unexpected),
            ],
        )?;
        let verdict = match (self.sound, self.settled, found.is_sound()) {
            (true, ..) => {
                "Every user has exactly one welcome, and nothing is lost, doubled or reordered."
            }
            (false, false, _) => "The time was over before everything was settled.",
            (false, true, false) => "Something is wrong.",
            (false, true, true) => {
                "Nothing was killed that should have been, so this shows nothing."
            }
        };
        write!(f, "\n{verdict}")?;
        match &self.logs {
            Some(logs) => write!(f, " The services' logs are in {}.", logs.display()),
            None => Ok(()),
        }
    }
}
