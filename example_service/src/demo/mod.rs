//! The demo: drives users through both services and checks what became of each.

pub mod chaos;
pub mod check;
pub mod drive;
pub mod findings;
pub mod people;
pub mod process;
pub mod report;
pub mod stage;
pub mod witness;

use std::fmt;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use reqwest::Client;
use serde::Serialize;
use tidings::error::BoxError;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use self::check::{Evidence, check, is_settled};
use self::drive::drive;
use self::people::{Person, people};
use self::report::Report;
use self::stage::Stage;
use self::witness::Witness;
use crate::broker::Broker;
use crate::database::Place;
use crate::email_service::{FailedTry, StoredMail, Tally};
use crate::settings::Settings;

/// How the demo is run.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// How many users there are: 1000, or with --chaos 50 in each round.
    ///
    /// On a broker of yours, no other `email-service` may run meanwhile: the two would share the
    /// events, and this one miss what the other got.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub users: Option<u32>,
    /// Prints the report as one line of JSON.
    #[arg(long)]
    pub json: bool,
    /// Kills the services at random moments, and the broker where it is told how.
    #[arg(long)]
    pub chaos: bool,
    #[command(flatten)]
    pub kills: chaos::Kill,
}

/// Users of a run without kills, unless it is said.
const USERS: u32 = 1_000;

/// Tiers so short that a run ends within a minute.
const TIERS: &str = "1s,2s,4s";
/// How the services are configured, over what the environment says.
const VARS: [(&str, &str); 5] = [
    ("KAFKA__FAILURE__RETRY_TIERS", TIERS),
    ("KAFKA_FAILURE_RETRY_TIERS", ""),
    ("EMAIL_SERVICE__FAULTS", "true"),
    ("SMTP_URL", ""),
    ("HTTP_ADDRESS", "127.0.0.1:0"),
];
/// How long everything may take to settle after the last request.
const SETTLE: Duration = Duration::from_secs(45);
/// What comes twice comes after all came once.
const AFTERMATH: Duration = Duration::from_millis(500);
/// More mails than a run has.
const ALL: usize = 1_000_000;

/// Runs it; the exit code is 1 when something is missing, doubled or out of order.
///
/// # Errors
/// When it cannot be run at all.
pub async fn run(options: &Options) -> Result<ExitCode, BoxError> {
    if options.chaos {
        let users = options.users.unwrap_or(chaos::USERS);
        let report = chaos::play(&options.kills, users, &settings()?).await?;
        return say(&report, report.sound, options.json);
    }
    let report = play(options.users.unwrap_or(USERS) as usize).await?;
    say(&report, report.sound, options.json)
}

fn say(
    report: &(impl Serialize + fmt::Display),
    sound: bool,
    json: bool,
) -> Result<ExitCode, BoxError> {
    let text = if json { serde_json::to_string(report)? } else { report.to_string() };
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Starts the services, drives that many users, waits until all is settled, checks, and stops the services.
///
/// # Errors
/// When a service does not start or stop, or a request is not answered as it should be.
pub async fn play(users: usize) -> Result<Report, BoxError> {
    let settings = settings()?;
    let broker = Broker::of(&settings)?;
    let stage = Stage::start(&settings, &broker, &VARS).await?;
    let played = act(users, &settings, &broker, &stage).await;
    let logs = stage.logs();
    let stopped = stage.stop().await;
    let mut report = played.map_err(|error| format!("{}{logs}", tidings::error::chain(&*error)))?;
    stopped?;
    match logs.folder {
        Some(folder) if report.sound => std::fs::remove_dir_all(folder)?,
        folder => report.logs = folder,
    }
    Ok(report)
}

async fn act(
    users: usize,
    settings: &Settings,
    broker: &Broker,
    stage: &Stage,
) -> Result<Report, BoxError> {
    let run = Uuid::now_v7().simple().to_string().split_off(24);
    let witness = Witness::default();
    let kafka = broker.client("demo", settings)?;
    let watching = witness.consumer(&run, &kafka)?.start().await?;
    let http = Client::new();
    let began = Instant::now();
    let domain = format!("{run}.example.org");
    let people = drive(&http, &stage.users, people(users, &domain)).await?;
    let driving = began.elapsed();
    let settled = settle(&http, stage, &domain, &people, &witness).await?;
    let seconds = began.elapsed();
    sleep(AFTERMATH).await;
    let ours = format!("domain={domain}&limit={ALL}");
    let evidence = Evidence {
        mails: get::<Vec<StoredMail>>(&http, format!("{}/mails?{ours}", stage.mails)).await?,
        failed: get::<Vec<FailedTry>>(&http, format!("{}/mails/failed?{ours}", stage.mails))
            .await?,
        seen: witness.so_far(),
        tiers: TIERS.split(',').map(str::to_owned).collect(),
        people,
    };
    // It only looked, so nothing is lost where it did not stop in time.
    let _ = watching.stop(Duration::from_secs(5)).await;
    let findings = check(&evidence);
    Ok(Report {
        sound: findings.is_sound() && settled,
        settled,
        broker: match broker {
            Broker::Embedded(_) => "embedded".into(),
            Broker::Remote => kafka.config().connection().bootstrap_servers.to_string(),
        },
        database: Place::of(settings.user_database())?.kind(),
        logs: None,
        seconds: seconds.as_secs_f64(),
        driving_seconds: driving.as_secs_f64(),
        findings,
    })
}

/// Waits until nothing more is to come; answers whether it came in time.
async fn settle(
    http: &Client,
    stage: &Stage,
    domain: &str,
    people: &[Person],
    witness: &Witness,
) -> Result<bool, BoxError> {
    let deadline = Instant::now() + SETTLE;
    loop {
        let tally: Tally =
            get(http, format!("{}/mails/count?domain={domain}", stage.mails)).await?;
        if is_settled(people, usize::try_from(tally.mails)?, &witness.so_far()) {
            return Ok(true);
        }
        if Instant::now() > deadline {
            return Ok(false);
        }
        sleep(Duration::from_millis(100)).await;
    }
}

async fn get<T: serde::de::DeserializeOwned>(http: &Client, url: String) -> Result<T, BoxError> {
    Ok(http.get(url).send().await?.error_for_status()?.json().await?)
}

fn settings() -> Result<Settings, BoxError> {
    let ours = |name: &str| VARS.iter().any(|(other, _)| *other == name);
    let vars = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| !ours(name))
        .chain(VARS.map(|(name, value)| (name.to_owned(), value.to_owned())));
    Ok(Settings::from_vars(vars)?)
}
