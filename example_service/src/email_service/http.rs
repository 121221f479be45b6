//! The email service over HTTP: what was sent, what waits and what failed.

use axum::Router;
use axum::extract::{Json, Query, State};
use axum::routing::get;
use serde::{Deserialize, Serialize};
use tidings::web::Health;

use super::mailbox::{FailedTry, StoredMail, Tally, Whose};
use super::store::Mails;
use crate::problem::{Checked, Problem, nothing_here};

/// What the consumer has done with events since this process began.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handled {
    pub handled: u64,
    /// Events that came again, and that the inbox kept from the handlers.
    pub duplicates: u64,
    pub retried: u64,
    pub dead_lettered: u64,
}

/// The routes.
pub fn router<S: Mails>(mails: S, health: Health) -> Router {
    let handled = move || async move { Json(Handled::of(&health)) };
    Router::new()
        .route("/handled", get(handled))
        .route("/mails", get(list::<S>))
        .route("/mails/count", get(count::<S>))
        .route("/mails/unsent", get(unsent::<S>))
        .route("/mails/failed", get(failed::<S>))
        .fallback(nothing_here)
        .with_state(mails)
}

impl Handled {
    fn of(health: &Health) -> Self {
        let mut sum = Self::default();
        for consumer in health.consumers() {
            let counts = consumer.counts();
            sum.handled += counts.handled();
            sum.duplicates += counts.duplicates();
            sum.retried += counts.retried();
            sum.dead_lettered += counts.dead_lettered();
        }
        sum
    }
}

#[derive(Deserialize)]
struct Page {
    limit: Option<u32>,
}

impl Page {
    fn limit(&self) -> u32 {
        self.limit.unwrap_or(100)
    }
}

async fn list<S: Mails>(
    State(mails): State<S>,
    Checked(Query(whose)): Checked<Query<Whose>>,
    Checked(Query(page)): Checked<Query<Page>>,
) -> Result<Json<Vec<StoredMail>>, Problem> {
    answer(mails.mails(&whose, false, page.limit()).await)
}

async fn unsent<S: Mails>(
    State(mails): State<S>,
    Checked(Query(whose)): Checked<Query<Whose>>,
    Checked(Query(page)): Checked<Query<Page>>,
) -> Result<Json<Vec<StoredMail>>, Problem> {
    answer(mails.mails(&whose, true, page.limit()).await)
}

async fn failed<S: Mails>(
    State(mails): State<S>,
    Checked(Query(whose)): Checked<Query<Whose>>,
    Checked(Query(page)): Checked<Query<Page>>,
) -> Result<Json<Vec<FailedTry>>, Problem> {
    answer(mails.tries(&whose, page.limit()).await)
}

async fn count<S: Mails>(
    State(mails): State<S>,
    Checked(Query(whose)): Checked<Query<Whose>>,
) -> Result<Json<Tally>, Problem> {
    answer(mails.tally(&whose).await)
}

fn answer<T>(found: Result<T, sqlx::Error>) -> Result<Json<T>, Problem> {
    found.map(Json).map_err(|error| Problem::internal(&error))
}
