//! A client that does not give up. Where the answer to a request does not come, it reads what became of
//! it before it asks again: so each user is created once, and each change made once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use fastrand::Rng;
use futures::StreamExt;
use futures::stream;
use reqwest::{Client, Method, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tidings::error::BoxError;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::cast::Address;

/// Users driven at the same time. What happens to one of them happens in order.
const AT_ONCE: usize = 8;
/// How long a request may take: longer than the service gives it.
const REQUEST: Duration = Duration::from_secs(15);
/// How long a user waits until a service is there again.
const PATIENCE: Duration = Duration::from_secs(300);
/// Between two tries.
const AGAIN: Duration = Duration::from_millis(50);
/// The longest pause between two requests of a user, in milliseconds.
const PAUSE: u64 = 200;

/// What is to happen to a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Life {
    pub email: String,
    /// The first at the beginning, the others one after another.
    pub names: Vec<String>,
    /// Leaves in the end.
    pub leaves: bool,
}

impl Life {
    /// Draws one: none to three new names, and every third leaves.
    pub fn draw(random: &mut Rng, email: String) -> Self {
        let names = (1..=random.usize(1..=4)).map(|number| format!("Name {number}")).collect();
        Self { email, names, leaves: random.u8(..3) == 0 }
    }

    pub fn name(&self) -> &str {
        self.names.last().map_or("", String::as_str)
    }
}

/// A user as the user service has it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct User {
    pub id: Uuid,
    pub email: String,
    pub full_name: String,
    pub active: bool,
    pub created_at: DateTime<Utc>,
}

/// Asks the user service, wherever it is.
pub struct Patient {
    http: Client,
    service: Address,
    unanswered: AtomicU64,
}

/// A request without an answer: whether it was done has to be looked up.
struct Unanswered;

impl Patient {
    /// # Errors
    /// When there can be no client.
    pub fn new(service: Address) -> Result<Self, BoxError> {
        let http = Client::builder().timeout(REQUEST).build()?;
        Ok(Self { http, service, unanswered: AtomicU64::new(0) })
    }

    /// How many requests had no answer.
    pub fn unanswered(&self) -> u64 {
        self.unanswered.load(Ordering::Relaxed)
    }

    /// Takes all through their lives.
    ///
    /// # Errors
    /// When one was not answered for too long, or not as it should be.
    pub async fn live(&self, lives: &[Life], random: &mut Rng) -> Result<(), BoxError> {
        let seeds: Vec<_> = lives.iter().map(|life| (life, random.fork())).collect();
        let mut living = stream::iter(seeds)
            .map(|(life, random)| self.one(life, random))
            .buffer_unordered(AT_ONCE);
        while let Some(lived) = living.next().await {
            lived?;
        }
        Ok(())
    }

    async fn one(&self, life: &Life, mut random: Rng) -> Result<(), BoxError> {
        let mut pause = || sleep(Duration::from_millis(random.u64(..PAUSE)));
        let first = &life.names[0];
        let create = json!({ "email": life.email, "full_name": first });
        let id = self.create(life, create).await?;
        for name in &life.names[1..] {
            pause().await;
            let (path, body) = (format!("/users/{id}"), json!({ "full_name": name }));
            self.change(Method::PATCH, &path, Some(body), |user| user.full_name == *name).await?;
        }
        if life.leaves {
            pause().await;
            self.change(Method::DELETE, &format!("/users/{id}"), None, |user| !user.active).await?;
        }
        Ok(())
    }

    async fn create(&self, life: &Life, body: Value) -> Result<Uuid, BoxError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.ask(Method::POST, "/users", Some(&body)).await? {
                Ok(answer) if answer.status() == StatusCode::CREATED => {
                    return Ok(answer.json::<User>().await?.id);
                }
                // Taken by this user, in a request whose answer did not come.
                Ok(answer) if answer.status() != StatusCode::CONFLICT => {
                    return Err(refused(answer).await);
                }
                Ok(_) | Err(Unanswered) => {}
            }
            let path = format!("/users?email={}", life.email);
            let found: Vec<User> = self.read(&path, deadline).await?;
            if let Some(user) = found.first() {
                return Ok(user.id);
            }
            sleep(AGAIN).await;
        }
    }

    async fn change(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        done: impl Fn(&User) -> bool,
    ) -> Result<(), BoxError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.ask(method.clone(), path, body.as_ref()).await? {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                Ok(answer) if answer.status() != StatusCode::CONFLICT => {
                    return Err(refused(answer).await);
                }
                Ok(_) | Err(Unanswered) => {}
            }
            if done(&self.read(path, deadline).await?) {
                return Ok(());
            }
            sleep(AGAIN).await;
        }
    }

    /// All users of a domain, as the service has them.
    ///
    /// # Errors
    /// When it does not say.
    pub async fn users(&self, domain: &str) -> Result<Vec<User>, BoxError> {
        let mut users = Vec::new();
        let mut after = Uuid::nil();
        loop {
            let path = format!("/users?after={after}&limit=500");
            let page: Vec<User> = self.read(&path, Instant::now() + PATIENCE).await?;
            let Some(last) = page.last() else { return Ok(users) };
            after = last.id;
            let ours = |user: &User| user.email.rsplit('@').next() == Some(domain);
            users.extend(page.into_iter().filter(ours));
        }
    }

    async fn read<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        deadline: Instant,
    ) -> Result<T, BoxError> {
        loop {
            if let Ok(answer) = self.ask(Method::GET, path, None).await? {
                match answer.status().is_success() {
                    true => return Ok(answer.json().await?),
                    false => return Err(refused(answer).await),
                }
            }
            if Instant::now() > deadline {
                return Err(format!("{path} had no answer for {PATIENCE:?}").into());
            }
            sleep(AGAIN).await;
        }
    }

    /// A connection that breaks and an error of the service's say nothing about what was done.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Result<Response, Unanswered>, BoxError> {
        let reading = method == Method::GET;
        let mut request = self.http.request(method, format!("{}{path}", self.service.get()));
        if let Some(body) = body {
            request = request.json(body);
        }
        match request.send().await {
            Ok(answer) if !answer.status().is_server_error() => Ok(Ok(answer)),
            Err(error) if error.is_builder() => Err(error.into()),
            _ => {
                self.unanswered.fetch_add(u64::from(!reading), Ordering::Relaxed);
                Ok(Err(Unanswered))
            }
        }
    }
}

async fn refused(answer: Response) -> BoxError {
    let (status, path) = (answer.status(), answer.url().path().to_owned());
    format!("{path} answered {status}: {}", answer.text().await.unwrap_or_default()).into()
}
