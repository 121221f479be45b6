//! The example's command line.

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use example_service::broker::{Broker, is_configured};
use example_service::database::Place;
use example_service::service::Service;
use example_service::settings::Settings;
use example_service::{demo, report_service};
use tidings::cli;
use tidings::error::BoxError;
use tidings::web::Health;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tracing_subscriber::EnvFilter;

/// Services that use Tidings. Without a command all run in this process.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// The user service alone, on the broker at KAFKA__BOOTSTRAP_SERVERS.
    UserService,
    /// The email service alone, on the broker at KAFKA__BOOTSTRAP_SERVERS.
    EmailService,
    /// The report service alone, on the broker at KAFKA__BOOTSTRAP_SERVERS; with a command of Tidings behind it that
    /// command: `report-service check`.
    #[command(disable_help_flag = true)]
    ReportService(TidingsArguments),
    /// The report service's workers without its HTTP: `worker --all`, or their names.
    #[command(disable_help_flag = true)]
    Worker(TidingsArguments),
    /// Shows topics, events and workers of the report service.
    #[command(disable_help_flag = true)]
    Describe(TidingsArguments),
    /// Drives users through the HTTP API and checks what became of them.
    Demo(demo::Options),
}

/// What follows a command that Tidings brings.
#[derive(clap::Args)]
struct TidingsArguments {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    rest: Vec<OsString>,
}

impl TidingsArguments {
    fn of(mut self, command: &str) -> Vec<OsString> {
        self.rest.insert(0, command.into());
        self.whole()
    }

    /// With the command among them.
    fn whole(self) -> Vec<OsString> {
        std::iter::once(report_service::NAME.into()).chain(self.rest).collect()
    }

    /// Whether they name a broker.
    fn name_broker(&self) -> bool {
        let names = |word: &OsString| {
            word.to_str()
                .is_some_and(|word| word.starts_with("--brokers") || word.starts_with("-b"))
        };
        self.rest.iter().any(names)
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let level = match &cli.command {
        // Round by round it says how far it is.
        Some(Command::Demo(options)) if options.chaos => "error,example_service::demo=info",
        Some(Command::Demo(_)) => "error",
        Some(Command::Worker(_) | Command::Describe(_)) => "warn",
        Some(Command::ReportService(arguments)) if !arguments.rest.is_empty() => "warn",
        // PostgreSQL says at each start that a table is there already.
        _ => "info,sqlx::postgres::notice=warn",
    };
    // Output is for what was asked; logs go beside it.
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| level.into()))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let done = match cli.command {
        Some(Command::Worker(arguments)) => worker(arguments),
        Some(Command::Describe(arguments)) => {
            Ok(cli::run_from(report_service::commands(), arguments.of("describe")))
        }
        Some(Command::ReportService(arguments)) if !arguments.rest.is_empty() => {
            Ok(cli::run_from(report_service::commands(), arguments.whole()))
        }
        command => Runtime::new().map_err(Into::into).and_then(|on| on.block_on(run(command))),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("{}", tidings::error::chain(&*error));
            ExitCode::from(2)
        }
    }
}

async fn run(command: Option<Command>) -> Result<ExitCode, BoxError> {
    let settings = Settings::from_env()?;
    match command {
        Some(Command::UserService) => {
            let address = settings.user_address(true);
            let service = Service::users(&settings, &reachable(&settings)?, address).await?;
            alone("user-service", service).await?;
        }
        Some(Command::EmailService) => {
            let address = settings.email_address(true);
            let service = Service::mails(&settings, &reachable(&settings)?, address).await?;
            alone("email-service", service).await?;
        }
        Some(Command::ReportService(_)) => {
            let address = settings.report_address(true);
            let service = Service::reports(&settings, &reachable(&settings)?, address).await?;
            alone("report-service", service).await?;
        }
        Some(Command::Demo(options)) => return demo::run(&options).await,
        // These were run before.
        None | Some(Command::Worker(_) | Command::Describe(_)) => all(&settings).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs workers until Ctrl-C. Where no broker is named there is one in this process, and the user service beside the
/// workers, so that they have something to work on.
fn worker(arguments: TidingsArguments) -> Result<ExitCode, BoxError> {
    let (settings, app) = (Settings::from_env()?, report_service::commands());
    if is_configured(&settings) || arguments.name_broker() {
        return Ok(cli::run_from(app, arguments.of("worker")));
    }
    let broker = Broker::of(&settings)?;
    let runtime = Runtime::new()?;
    let users = Service::users(&settings, &broker, settings.user_address(false));
    let users = runtime.block_on(users)?;
    say(&format!(
        "Beside the workers, on an embedded broker, the user service listens on http://{0}:\n\n{1}",
        users.address(),
        sign_up(&users)
    ))?;
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = runtime.spawn(users.run_until(async { drop(stopped.await) }));
    let app = match &broker {
        Broker::Embedded(broker) => app.embedded(broker),
        Broker::Remote => app,
    };
    let code = cli::run_from(app, arguments.of("worker"));
    // It hears Ctrl-C too, and may be gone.
    drop(stop);
    runtime.block_on(serving)??;
    Ok(code)
}

/// A broker that the other service can reach.
fn reachable(settings: &Settings) -> Result<Broker, BoxError> {
    if is_configured(settings) {
        return Ok(Broker::Remote);
    }
    Err("KAFKA__BOOTSTRAP_SERVERS is not set: a service in a process of its own needs a broker that the \
        other one reaches too; without a command, both run in one process on an embedded broker"
        .into())
}

async fn alone(name: &str, service: Service) -> Result<(), BoxError> {
    say(&format!("{name} listens on http://{}", service.address()))?;
    service.run().await?;
    Ok(())
}

async fn all(settings: &Settings) -> Result<(), BoxError> {
    let broker = Broker::of(settings)?;
    let users = Service::users(settings, &broker, settings.user_address(false)).await?;
    let mails = Service::mails(settings, &broker, settings.email_address(false)).await?;
    let reports = Service::reports(settings, &broker, settings.report_address(false)).await?;
    let welcome = welcome(settings, &broker, &users, &mails, &reports);
    let health = [users.health(), mails.health(), reports.health()];
    tokio::spawn(async move {
        ready(&health).await;
        say(&welcome)
    });
    // All hear the signal. Where one fails, the others go too, with the process.
    tokio::try_join!(users.run(), mails.run(), reports.run())?;
    Ok(())
}

fn welcome(
    settings: &Settings,
    broker: &Broker,
    users: &Service,
    mails: &Service,
    reports: &Service,
) -> String {
    let (mails_at, reports_at) = (mails.address(), reports.address());
    let place = |service: &Service| service.database().map_or_else(String::new, Place::description);
    let broker = match broker {
        Broker::Embedded(broker) => format!(
            "{}, embedded in this process: for trying out only, it forgets all at the end",
            broker.bootstrap_servers()
        ),
        Broker::Remote => "the one at KAFKA__BOOTSTRAP_SERVERS".into(),
    };
    let sent = match &settings.smtp_url {
        Some(url) => format!("to {url}, and listed at http://{mails_at}/mails"),
        None => format!("kept, and listed at http://{mails_at}/mails"),
    };
    format!(
        "
The example is ready.

  user service    http://{}
  email service   http://{mails_at}
  report service  http://{reports_at}
  broker          {broker}
  users           {}
  mails           {}
                  {sent}

Somebody signs up, gets a mail, and has a profile:

{}
  curl -s http://{mails_at}/mails
  curl -s http://{reports_at}/profiles

A thousand users, checked: `cargo run -p example_service -- demo`; with --chaos the services are
killed meanwhile. Ctrl-C ends this.
",
        users.address(),
        place(users),
        place(mails),
        sign_up(users),
    )
}

/// What makes a user.
fn sign_up(users: &Service) -> String {
    format!(
        "  curl -s http://{}/users -H 'content-type: application/json' \\
       -d '{{\"email\":\"ada@example.org\",\"full_name\":\"Ada Lovelace\"}}'",
        users.address()
    )
}

async fn ready(services: &[Health]) {
    while services.iter().any(|health| !health.problems().is_empty()) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn say(text: &str) -> Result<(), BoxError> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_the_report_service_is_a_command_of_tidings() {
        for (more, is) in [
            (&[][..], &["report-service"][..]),
            (&["check"], &["report-service", "check"]),
            (&["topics", "--brokers", "b:1"], &["report-service", "topics", "--brokers", "b:1"]),
            (&["--help"], &["report-service", "--help"]),
        ] {
            let arguments = [&["example_service", "report-service"], more].concat();
            match Cli::try_parse_from(arguments).unwrap().command {
                Some(Command::ReportService(arguments)) => assert_eq!(arguments.whole(), is),
                _ => panic!("{more:?} is another command"),
            }
        }
    }
}
