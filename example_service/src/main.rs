//! The example's command line.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use example_service::broker::{Broker, is_configured};
use example_service::demo;
use example_service::service::Service;
use example_service::settings::Settings;
use tidings::error::BoxError;
use tidings::web::Health;
use tracing_subscriber::EnvFilter;

/// Two services that use Tidings. Without a command both run in this process.
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
    /// Drives users through the HTTP API and checks what became of them.
    Demo(demo::Options),
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let level = match &cli.command {
        // Round by round it says how far it is.
        Some(Command::Demo(options)) if options.chaos => "error,example_service::demo=info",
        Some(Command::Demo(_)) => "error",
        // PostgreSQL says at each start that a table is there already.
        _ => "info,sqlx::postgres::notice=warn",
    };
    // Output is for what was asked; logs go beside it.
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| level.into()))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    match run(cli).await {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("{}", tidings::error::chain(&*error));
            ExitCode::from(2)
        }
    }
}

async fn run(cli: Cli) -> Result<ExitCode, BoxError> {
    let settings = Settings::from_env()?;
    match cli.command {
        None => both(&settings).await?,
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
        Some(Command::Demo(options)) => return demo::run(&options).await,
    }
    Ok(ExitCode::SUCCESS)
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

async fn both(settings: &Settings) -> Result<(), BoxError> {
    let broker = Broker::of(settings)?;
    let users = Service::users(settings, &broker, settings.user_address(false)).await?;
    let mails = Service::mails(settings, &broker, settings.email_address(false)).await?;
    let welcome = welcome(settings, &broker, &users, &mails);
    let health = [users.health(), mails.health()];
    tokio::spawn(async move {
        ready(&health).await;
        say(&welcome)
    });
    // Both hear the signal. Where one fails, the other goes too, with the process.
    tokio::try_join!(users.run(), mails.run())?;
    Ok(())
}

fn welcome(settings: &Settings, broker: &Broker, users: &Service, mails: &Service) -> String {
    let (users_at, mails_at) = (users.address(), mails.address());
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

  user service   http://{users_at}
  email service  http://{mails_at}
  broker         {broker}
  users          {}
  mails          {}
                 {sent}

Somebody signs up, and gets a mail:

  curl -s http://{users_at}/users -H 'content-type: application/json' \\
       -d '{{\"email\":\"ada@example.org\",\"full_name\":\"Ada Lovelace\"}}'
  curl -s http://{mails_at}/mails

A thousand users, checked: `cargo run -p example_service -- demo`; with --chaos the services are
killed meanwhile. Ctrl-C ends this.
",
        users.database().description(),
        mails.database().description(),
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
