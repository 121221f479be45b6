//! The services as they are, on a test kit instead of Kafka and on SQLite in memory, asked without a
//! socket.
//!
//! A database works in real time, so no clock is paused here; the retry tiers are short instead.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode, header};
use example_service::database::{Database, Schema};
use example_service::email_service::{
    self, Background, Faults, Mails, PostOffice, StoredMail, Whose,
};
use example_service::settings::Settings;
use example_service::user_service::{self, Requests};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tidings::event::Source;
use tidings::outbox::Relay;
use tidings::retry::RetryPolicy;
use tidings::store::sqlite::{SqliteOutbox, SqliteStore};
use tidings::testing::TestKit;
use tidings::transport::memory::MemoryConfig;
use tower::ServiceExt;

use crate::shared::{address, unique};

/// The consumer's retry tiers: longer than all retries in place take, where time matters.
pub(crate) const TIERS: [Duration; 3] =
    [Duration::from_millis(50), Duration::from_millis(100), Duration::from_millis(150)];

/// An empty database in memory.
async fn database(schema: &Schema) -> SqliteStore {
    SqliteStore::connect("sqlite::memory:", schema).await.unwrap()
}

/// An empty PostgreSQL database of a test's own.
pub(crate) struct OwnDatabase {
    server: String,
    name: String,
    pub(crate) url: String,
}

impl OwnDatabase {
    /// Makes one; `None`, said aloud, where there is no server.
    pub(crate) async fn make() -> Option<Self> {
        let server = address("TIDINGS_TEST_POSTGRES")?;
        let name = unique("example").replace('-', "_");
        let url = format!("{}/{name}", server.rsplit_once('/').unwrap().0);
        let database = Self { server, name, url };
        database.ask("CREATE DATABASE {}").await;
        Some(database)
    }

    /// A test that fails leaves it to whoever reads its log.
    pub(crate) async fn remove(self) {
        self.ask("DROP DATABASE {} WITH (FORCE)").await;
    }

    async fn ask(&self, statement: &str) {
        let mut server = PgConnection::connect(&self.server).await.unwrap();
        let statement = AssertSqlSafe(statement.replace("{}", &self.name));
        sqlx::query(statement).execute(&mut server).await.unwrap();
    }
}

/// What can be asked of the user service; a relay publishes what it stores.
pub(crate) async fn requests(kit: &TestKit) -> Requests<SqliteStore> {
    requests_on(kit, MemoryConfig::new(user_service::NAME)).await
}

pub(crate) async fn requests_on(kit: &TestKit, config: MemoryConfig) -> Requests<SqliteStore> {
    let store = database(&user_service::SCHEMA).await;
    kit.start_relay(Relay::builder(store.clone()).build(&kit.connect(config)).unwrap());
    let source = Source::new(user_service::NAME).unwrap();
    user_service::requests(SqliteOutbox::new(store, source)).unwrap()
}

/// The user service's routes.
pub(crate) async fn users(kit: &TestKit) -> Router {
    user_service::router(requests(kit).await)
}

/// Somebody signs up; answers who.
pub(crate) async fn sign_up(users: &Router, email: &str) -> String {
    let body = json!({ "email": email, "full_name": "Ada Lovelace" });
    let (status, user) = ask(users, Method::POST, "/users", Some(body)).await;
    assert_eq!(status, StatusCode::CREATED);
    user["id"].as_str().unwrap().to_owned()
}

/// The email service's mailbox, and what works for it.
pub(crate) struct Mailbox {
    pub(crate) mails: SqliteStore,
    _background: Background,
}

impl Mailbox {
    pub(crate) async fn all(&self) -> Vec<StoredMail> {
        self.mails.mails(&Whose::default(), false, 100).await.unwrap()
    }
}

/// The email service, with these settings. Flaky mailboxes fail until the first tier.
pub(crate) async fn mails(kit: &TestKit, vars: &[(&str, &str)]) -> Mailbox {
    let vars = vars.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    let settings = Settings::from_vars(vars).unwrap();
    let mails = database(&email_service::SCHEMA).await;
    let (mut post, background) = PostOffice::open(mails.clone(), &settings).unwrap();
    post.faults = post.faults.map(|_| Arc::new(Faults::new(TIERS[0])));
    let retry = RetryPolicy::tiers(TIERS).immediate(0);
    let config = MemoryConfig::new(email_service::NAME).retry(retry);
    let transport = kit.connect(config.commit_every(1, Duration::from_millis(100)));
    kit.start(email_service::consumer(post, &transport).unwrap()).await;
    Mailbox { mails, _background: background }
}

/// Answers the status and the body, `null` where there is none.
pub(crate) async fn ask(
    service: &Router,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> (StatusCode, Value) {
    let request = Request::builder().method(method).uri(path);
    let request = request.header(header::CONTENT_TYPE, "application/json");
    let body = body.map_or(Body::empty(), |body| Body::from(body.to_string()));
    let answer = service.clone().oneshot(request.body(body).unwrap()).await.unwrap();
    let status = answer.status();
    if status.is_client_error() || status.is_server_error() {
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/problem+json");
    }
    let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

pub(crate) async fn get(service: &Router, path: &str) -> Value {
    let (status, body) = ask(service, Method::GET, path, None).await;
    assert_eq!(status, StatusCode::OK, "{path}: {body}");
    body
}
