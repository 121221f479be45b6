//! A service: put together, listening, and run until it is told to stop.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use example_contracts::UserCreated;
use tidings::error::BoxError;
use tidings::event::Source;
use tidings::outbox::{Outbox, Relay};
use tidings::publisher::Publisher;
use tidings::store::postgres::PostgresStore;
use tidings::store::sqlite::SqliteStore;
use tidings::transport::TopicNeed;
use tidings::transport::kafka::Kafka;
use tidings::web::{Health, Lifespan, ServeError, Stopped};
use tokio::net::TcpListener;

use crate::broker::{Broker, START, TOPICS};
use crate::database::{Database, Kind, Place, Schema};
use crate::email_service::{self, Background, Mails, PostOffice};
use crate::report_service;
use crate::settings::Settings;
use crate::user_service::{self, Users};

/// A service that listens and does not answer yet.
pub struct Service {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
    lifespan: Lifespan,
    background: Option<Background>,
    place: Option<Place>,
}

/// What a service is made of beside its address and its database.
struct Parts {
    router: Router,
    lifespan: Lifespan,
    background: Option<Background>,
}

impl Service {
    /// The user service: HTTP, users, a relay of its outbox.
    ///
    /// # Errors
    /// When the address is taken, or database or broker cannot be used.
    pub async fn users(
        settings: &Settings,
        broker: &Broker,
        address: &str,
    ) -> Result<Self, BoxError> {
        let listener = bind(address).await?;
        let kafka = broker.client(user_service::NAME, settings)?;
        // Who publishes must not depend on a reader having been there first.
        Publisher::prepare_topics(&kafka, TopicNeed::of::<UserCreated>(), TOPICS, START).await?;
        let place = Place::of(settings.user_database())?;
        let schema = &user_service::SCHEMA;
        let parts = match place.kind() {
            Kind::Sqlite => users(open::<SqliteStore>(&place, schema).await?, &kafka, settings)?,
            Kind::Postgres => {
                users(open::<PostgresStore>(&place, schema).await?, &kafka, settings)?
            }
        };
        Self::new(listener, Some(place), parts)
    }

    /// The email service: HTTP, a consumer, a mailbox, and perhaps SMTP.
    ///
    /// # Errors
    /// When the address is taken, or database, broker or the SMTP address cannot be used.
    pub async fn mails(
        settings: &Settings,
        broker: &Broker,
        address: &str,
    ) -> Result<Self, BoxError> {
        let listener = bind(address).await?;
        let kafka = broker.client(email_service::NAME, settings)?;
        let place = Place::of(settings.email_database())?;
        let schema = &email_service::SCHEMA;
        let parts = match place.kind() {
            Kind::Sqlite => mails(open::<SqliteStore>(&place, schema).await?, &kafka, settings)?,
            Kind::Postgres => {
                mails(open::<PostgresStore>(&place, schema).await?, &kafka, settings)?
            }
        };
        Self::new(listener, Some(place), parts)
    }

    /// The report service: workers, and profiles over HTTP.
    ///
    /// # Errors
    /// When the address is taken, or the broker cannot be used.
    pub async fn reports(
        settings: &Settings,
        broker: &Broker,
        address: &str,
    ) -> Result<Self, BoxError> {
        let listener = bind(address).await?;
        let kafka = broker.client(report_service::NAME, settings)?;
        let profiles = report_service::view(&kafka).await?;
        let mut lifespan = Lifespan::new().state_view(&profiles);
        for worker in report_service::workers(&kafka)? {
            lifespan = lifespan.consumer(worker.into());
        }
        let router = report_service::router(profiles);
        Self::new(listener, None, Parts { router, lifespan, background: None })
    }

    fn new(listener: TcpListener, place: Option<Place>, parts: Parts) -> Result<Self, BoxError> {
        let Parts { router, lifespan, background } = parts;
        let lifespan = lifespan.health_details();
        let router = router.merge(lifespan.health_routes());
        Ok(Self { address: listener.local_addr()?, listener, router, lifespan, background, place })
    }

    /// Where it listens; the port is a real one, also where port 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its database is, if it has one.
    pub fn database(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// Whether it is ready, once it runs.
    pub fn health(&self) -> Health {
        self.lifespan.health().clone()
    }

    /// Answers until SIGINT or SIGTERM.
    ///
    /// # Errors
    /// When the consumer does not start or ends by itself, or the server fails.
    pub async fn run(self) -> Result<Stopped, ServeError> {
        let Self { lifespan, listener, router, background, place, .. } = self;
        ended(lifespan.serve(listener, router).await, background, place).await
    }

    /// Answers until `shutdown` is ready.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn run_until(
        self,
        shutdown: impl Future<Output = ()>,
    ) -> Result<Stopped, ServeError> {
        let Self { lifespan, listener, router, background, place, .. } = self;
        ended(lifespan.serve_until(listener, router, shutdown).await, background, place).await
    }
}

/// Waits for what goes on behind the server, and lets the database go last.
async fn ended(
    outcome: Result<Stopped, ServeError>,
    background: Option<Background>,
    place: Option<Place>,
) -> Result<Stopped, ServeError> {
    if let Some(background) = background {
        background.stop().await;
    }
    drop(place);
    outcome
}

/// Events are stored in the transaction that changes a user, and published by the relay.
fn users<S: Users>(store: S, kafka: &Kafka, settings: &Settings) -> Result<Parts, BoxError> {
    let outbox = Outbox::new(store.clone(), Source::new(user_service::NAME)?);
    let mut relay = Relay::builder(store).name(user_service::NAME);
    if let Some(seconds) = settings.user_service.relay_lease_seconds {
        relay = relay.lease(Duration::from_secs(seconds));
    }
    let lifespan = Lifespan::new().relay(relay.build(kafka)?);
    let router = user_service::router(user_service::requests(outbox)?);
    Ok(Parts { router, lifespan, background: None })
}

fn mails<S: Mails>(store: S, kafka: &Kafka, settings: &Settings) -> Result<Parts, BoxError> {
    let (post, background) = PostOffice::open(store.clone(), settings)?;
    let lifespan = Lifespan::new().consumer(email_service::consumer(post, kafka)?);
    let router = email_service::router(store, lifespan.health().clone());
    Ok(Parts { router, lifespan, background: Some(background) })
}

async fn open<S: Database>(place: &Place, schema: &Schema) -> Result<S, BoxError> {
    S::connect(place.url(), schema).await.map_err(|error| {
        let why = tidings::error::chain(&*error);
        format!("the database cannot be opened: {why}; DATABASE_URL says where it is").into()
    })
}

async fn bind(address: &str) -> Result<TcpListener, BoxError> {
    TcpListener::bind(address).await.map_err(|error| {
        format!("cannot listen on {address}: {error}; set another address by USER_SERVICE__HTTP_ADDRESS, EMAIL_SERVICE__HTTP_ADDRESS or REPORT_SERVICE__HTTP_ADDRESS, or by HTTP_ADDRESS where a process is one service only").into()
    })
}
