//! The email service over HTTP: what was sent and what failed.

use axum::Router;
use axum::extract::{Json, Query, State};
use axum::routing::get;
use serde::Deserialize;
use uuid::Uuid;

use super::mailbox::{Delivered, FailedTry, Mailbox, Tally};
use crate::problem::{Checked, Problem, nothing_here};

/// The routes. With SMTP the mailbox holds no mails, and failed tries all the same.
pub fn router(mailbox: Mailbox) -> Router {
    Router::new()
        .route("/mails", get(mails))
        .route("/mails/count", get(count))
        .route("/mails/failed", get(failed))
        .fallback(nothing_here)
        .with_state(mailbox)
}

#[derive(Deserialize)]
struct Wanted {
    user_id: Option<Uuid>,
    limit: Option<usize>,
}

impl Wanted {
    fn limit(&self) -> usize {
        self.limit.unwrap_or(100)
    }
}

async fn mails(
    State(mailbox): State<Mailbox>,
    Checked(Query(wanted)): Checked<Query<Wanted>>,
) -> Result<Json<Vec<Delivered>>, Problem> {
    Ok(Json(mailbox.mails(wanted.user_id, wanted.limit())))
}

async fn failed(
    State(mailbox): State<Mailbox>,
    Checked(Query(wanted)): Checked<Query<Wanted>>,
) -> Result<Json<Vec<FailedTry>>, Problem> {
    Ok(Json(mailbox.failed_tries(wanted.user_id, wanted.limit())))
}

async fn count(State(mailbox): State<Mailbox>) -> Json<Tally> {
    Json(mailbox.tally())
}
