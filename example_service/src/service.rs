//! A service: put together, listening, and run until it is told to stop.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use example_contracts::UserCreated;
use tidings::IntegrationEvent;
use tidings::error::BoxError;
use tidings::publisher::Publisher;
use tidings::web::{Health, Lifespan, ServeError, Stopped};
use tokio::net::TcpListener;

use crate::broker::{Broker, TOPICS};
use crate::email_service::{self, PostOffice};
use crate::settings::Settings;
use crate::user_service::{self, Users};

/// How long a start waits for a broker that does not answer.
const START: Duration = Duration::from_secs(30);

/// A service that listens and does not answer yet.
pub struct Service {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
    lifespan: Lifespan,
}

impl Service {
    /// The user service: HTTP, users, a publisher.
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
        Publisher::prepare_topics(&kafka, UserCreated::topics(), TOPICS, START).await?;
        let publisher = Publisher::new(&kafka);
        let users = Users::open(&settings.database_url)
            .await
            .map_err(|error| format!("DATABASE_URL cannot be opened: {error}"))?;
        let requests = user_service::requests(users, publisher.clone())?;
        let lifespan = Lifespan::new().publisher(publisher);
        Self::new(listener, user_service::router(requests), lifespan)
    }

    /// The email service: HTTP, a consumer, a mailbox or SMTP.
    ///
    /// # Errors
    /// When the address is taken, or the broker or the SMTP address cannot be used.
    pub async fn mails(
        settings: &Settings,
        broker: &Broker,
        address: &str,
    ) -> Result<Self, BoxError> {
        let listener = bind(address).await?;
        let kafka = broker.client(email_service::NAME, settings)?;
        let post = PostOffice::open(settings)?;
        let mailbox = post.mailbox.clone();
        let consumer = email_service::consumer(post, &kafka)?;
        let lifespan = Lifespan::new().consumer(consumer);
        Self::new(listener, email_service::router(mailbox), lifespan)
    }

    fn new(listener: TcpListener, router: Router, lifespan: Lifespan) -> Result<Self, BoxError> {
        let lifespan = lifespan.health_details();
        let router = router.merge(lifespan.health_routes());
        Ok(Self { address: listener.local_addr()?, listener, router, lifespan })
    }

    /// Where it listens; the port is a real one, also where port 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
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
        self.lifespan.serve(self.listener, self.router).await
    }

    /// Answers until `shutdown` is ready.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn run_until(
        self,
        shutdown: impl Future<Output = ()>,
    ) -> Result<Stopped, ServeError> {
        self.lifespan.serve_until(self.listener, self.router, shutdown).await
    }
}

async fn bind(address: &str) -> Result<TcpListener, BoxError> {
    TcpListener::bind(address).await.map_err(|error| {
        format!("cannot listen on {address}: {error}; set another address by HTTP_ADDRESS, USER_SERVICE__HTTP_ADDRESS or EMAIL_SERVICE__HTTP_ADDRESS").into()
    })
}
