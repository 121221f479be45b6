//! The chaotic demo: the services, and the broker where it is a real one, are killed at random moments
//! while users come, are renamed and leave. In the end every user has exactly one welcome.

pub mod cast;
pub mod check;
pub mod client;
pub mod plan;
pub mod removed;
pub mod report;

use std::time::Duration;

use example_contracts::UserCreated;
use fastrand::Rng;
use reqwest::Client;
use tidings::IntegrationEvent;
use tidings::error::BoxError;
use tidings::publisher::Publisher;
use tidings::retry::RetryPolicy;
use tidings::topic::{TopicNaming, TopicPlan};
use tidings::transport::kafka::Kafka;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use self::cast::{Actor, Address, BrokerCommands};
use self::check::{Evidence, check, is_settled};
use self::client::{Life, Patient};
use self::plan::Round;
use self::removed::Removed;
use self::report::{Kills, Report};
use super::process::Vars;
use super::stage::logs;
use super::witness::Witness;
use super::{ALL, TIERS, get};
use crate::broker::{Broker, START, TOPICS};
use crate::database::{Place, sqlite_file};
use crate::email_service::{self, StoredMail, Tally};
use crate::settings::Settings;

/// How the chaotic demo is run.
#[derive(Debug, Clone, clap::Args)]
pub struct Kill {
    /// How many rounds of kills there are.
    #[arg(long, default_value_t = 5, requires = "chaos", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub rounds: u32,
    /// Draws the same kills and users again. Default: another one each time; it is printed.
    #[arg(long, requires = "chaos")]
    pub seed: Option<u64>,
    /// A shell command that kills the broker at KAFKA__BOOTSTRAP_SERVERS, say
    /// `dev/kafka kill --dir /tmp/kafka`. Default: it is left alone.
    #[arg(long, requires = "chaos", requires = "start_broker")]
    pub kill_broker: Option<String>,
    /// A shell command that starts it again, at the same address and with its data.
    #[arg(long, requires = "chaos", requires = "kill_broker")]
    pub start_broker: Option<String>,
}

/// Users of a round, unless it is said.
pub const USERS: u32 = 50;
/// How long everything may take to settle after the last round.
const SETTLE: Duration = Duration::from_secs(120);
/// What comes twice comes while nothing new comes: so long nothing may change.
const QUIET: Duration = Duration::from_secs(10);

/// Plays the rounds, waits until all is settled, checks.
///
/// # Errors
/// When a service does not start or ends by itself, or a request is not answered for too long.
pub async fn play(options: &Kill, users: u32, settings: &Settings) -> Result<Report, BoxError> {
    let commands = options.kill_broker.clone().zip(options.start_broker.clone());
    let commands = commands.map(|(kill, start)| BrokerCommands { kill, start });
    let broker = Broker::of(settings)?;
    if let (Broker::Embedded(_), Some(_)) = (&broker, &commands) {
        return Err(
            "--kill-broker is for the broker at KAFKA__BOOTSTRAP_SERVERS, which is not set".into(),
        );
    }
    let logs = logs()?;
    let run = Run {
        options,
        users,
        kafka: broker.client("demo", settings)?,
        domain: format!("{}.example.org", Uuid::now_v7().simple().to_string().split_off(24)),
        commands,
        logs: logs.clone(),
    };
    let vars = run.vars(settings, &broker);
    if let Broker::Embedded(_) = broker {
        run.make_topics().await?;
    }
    let played = run.play(&vars, settings).await;
    let logs_at = |error: BoxError| {
        format!("{} (logs in {})", tidings::error::chain(&*error), logs.display())
    };
    let mut report = played.map_err(logs_at)?;
    match report.sound {
        true => std::fs::remove_dir_all(&logs)?,
        false => report.logs = Some(logs),
    }
    Ok(report)
}

struct Run<'a> {
    options: &'a Kill,
    /// Of each round.
    users: u32,
    kafka: Kafka,
    /// Of all addresses of this run, by which they are known.
    domain: String,
    commands: Option<BrokerCommands>,
    logs: std::path::PathBuf,
}

impl Run<'_> {
    /// What the services are told beside the environment.
    fn vars(&self, settings: &Settings, broker: &Broker) -> Vars {
        let mut vars: Vec<(&str, String)> = vec![
            ("KAFKA__FAILURE__RETRY_TIERS", TIERS.into()),
            ("KAFKA_FAILURE_RETRY_TIERS", String::new()),
            ("SMTP_URL", String::new()),
            ("HTTP_ADDRESS", "127.0.0.1:0".into()),
            ("USER_SERVICE__HTTP_ADDRESS", String::new()),
            ("EMAIL_SERVICE__HTTP_ADDRESS", String::new()),
            ("EMAIL_SERVICE__FAULTS", String::new()),
            // Who was killed is found to be gone soon.
            ("KAFKA__CONSUMER__SESSION_TIMEOUT", "6s".into()),
            ("KAFKA__CONSUMER__HEARTBEAT", "1s".into()),
            ("USER_SERVICE__RELAY_LEASE_SECONDS", "2".into()),
        ];
        if let Broker::Embedded(broker) = broker {
            vars.push(("KAFKA__BOOTSTRAP_SERVERS", broker.bootstrap_servers().into()));
            vars.push(("KAFKA__CONSUMER__FETCH_MAX_WAIT", "10ms".into()));
        }
        // A database must outlive the process that is killed. Where something is wrong it stays beside
        // the logs.
        for (name, given, file) in [
            ("USER_SERVICE__DATABASE_URL", settings.user_database(), "users.db"),
            ("EMAIL_SERVICE__DATABASE_URL", settings.email_database(), "mails.db"),
        ] {
            if given.is_none() {
                vars.push((name, sqlite_file(&self.logs.join(file))));
            }
        }
        vars.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// The embedded broker makes topics for clients of its own process only.
    async fn make_topics(&self) -> Result<(), BoxError> {
        let tiers = TIERS.split(',').map(str::parse).collect::<Result<Vec<_>, _>>()?;
        let mut retry = RetryPolicy::none();
        retry.tiers = tiers;
        for topic in UserCreated::topics() {
            let plan = TopicPlan::of(&topic, email_service::NAME, &retry, &TopicNaming::default())?;
            let topics: Vec<_> = plan.topics().cloned().collect();
            Publisher::prepare_topics(&self.kafka, topics, TOPICS, START).await?;
        }
        Ok(())
    }

    async fn play(
        &self,
        vars: &[(String, String)],
        settings: &Settings,
    ) -> Result<Report, BoxError> {
        let began = Instant::now();
        let seed = self.options.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
        let mut users = Actor::start("user-service", vars, &self.logs).await?;
        let mut mails = Actor::start("email-service", vars, &self.logs).await?;
        let witness = Witness::default();
        let watching = witness.consumer(&self.domain, &self.kafka)?.start().await?;
        let (removed, http) = (Removed::default(), Client::new());
        let counting = tokio::spawn(removed.clone().watch(http.clone(), mails.address()));
        let client = Patient::new(users.address())?;
        let (lives, broker) = self.rounds(seed, &mut users, &mut mails, &client).await?;
        let (settled, evidence) = self.settle(lives, &client, &mails.address(), &witness).await?;
        counting.abort();
        removed.look(&http, &mails.address()).await;
        let kills = Kills { user_service: users.kills, email_service: mails.kills, broker };
        users.stop().await?;
        mails.stop().await?;
        // It only looked, so nothing is lost where it did not stop in time.
        let _ = watching.stop(Duration::from_secs(5)).await;
        let findings = check(&evidence);
        let killed = kills.user_service > 0
            && kills.email_service > 0
            && (kills.broker > 0 || self.commands.is_none());
        Ok(Report {
            sound: findings.is_sound() && settled && killed,
            settled,
            broker: self.kafka.config().connection().bootstrap_servers.to_string(),
            database: Place::of(settings.user_database())?.kind(),
            seed,
            rounds: self.options.rounds,
            kills,
            unanswered: client.unanswered(),
            duplicates_removed: removed.total(),
            seconds: began.elapsed().as_secs_f64(),
            findings,
            logs: None,
        })
    }

    /// Kills and drives, round by round; answers the users, and how often the broker was killed.
    async fn rounds(
        &self,
        seed: u64,
        users: &mut Actor,
        mails: &mut Actor,
        client: &Patient,
    ) -> Result<(Vec<Life>, u32), BoxError> {
        let mut random = Rng::with_seed(seed);
        let http = Client::new();
        let (mut lives, mut kills) = (Vec::new(), 0);
        for number in 0..self.options.rounds {
            let round = Round::draw(&mut random, number == 0, self.commands.is_some());
            let address = |user| format!("user-{number}-{user}@{}", self.domain);
            let new: Vec<_> =
                (0..self.users).map(|user| Life::draw(&mut random, address(user))).collect();
            let mut own = random.fork();
            let broker = async {
                match &self.commands {
                    Some(commands) => commands.suffer(&round.broker).await,
                    None => Ok(0),
                }
            };
            let (.., killed) = tokio::try_join!(
                client.live(&new, &mut own),
                users.suffer(&round.users),
                mails.suffer(&round.mails),
                broker
            )?;
            kills += killed;
            lives.extend(new);
            if !round.hurried {
                users.ready(&http).await?;
                mails.ready(&http).await?;
            }
            tracing::info!(
                round = number + 1,
                users = lives.len(),
                kills = users.kills + mails.kills + kills,
                "played"
            );
        }
        users.ready(&http).await?;
        mails.ready(&http).await?;
        Ok((lives, kills))
    }

    /// Waits until nothing more is to come; answers whether it came in time, and what there is.
    async fn settle(
        &self,
        lives: Vec<Life>,
        client: &Patient,
        mails: &Address,
        witness: &Witness,
    ) -> Result<(bool, Evidence), BoxError> {
        let http = Client::new();
        let users = client.users(&self.domain).await?;
        let deadline = Instant::now() + SETTLE;
        let mut quiet: Option<((usize, usize), Instant)> = None;
        let settled = loop {
            let seen = witness.so_far();
            let url = format!("{}/mails/count?domain={}", mails.get(), self.domain);
            let count = usize::try_from(get::<Tally>(&http, url).await?.mails)?;
            let state = (count, seen.events.values().map(Vec::len).sum());
            match quiet {
                Some((before, since)) if before == state => {
                    if since.elapsed() > QUIET && is_settled(&lives, &users, count, &seen) {
                        break true;
                    }
                }
                _ => quiet = Some((state, Instant::now())),
            }
            if Instant::now() > deadline {
                break false;
            }
            sleep(Duration::from_millis(100)).await;
        };
        let url = format!("{}/mails?domain={}&limit={ALL}", mails.get(), self.domain);
        let mails = get::<Vec<StoredMail>>(&http, url).await?;
        Ok((settled, Evidence { lives, users, mails, seen: witness.so_far() }))
    }
}
