//! The email service over HTTP: what was sent and what failed.

use axum::Router;
use axum::extract::{Json, Query, State};
use axum::routing::get;
use serde::Deserialize;

use super::mailbox::{Delivered, FailedTry, Mailbox, Tally, Whose};
use crate::problem::{Checked, nothing_here};

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
struct Page {
    limit: Option<usize>,
}

impl Page {
    fn limit(&self) -> usize {
        self.limit.unwrap_or(100)
    }
}

async fn mails(
    State(mailbox): State<Mailbox>,
    Checked(Query(whose)): Checked<Query<Whose>>,
    Checked(Query(page)): Checked<Query<Page>>,
) -> Json<Vec<Delivered>> {
    Json(mailbox.mails(&whose, page.limit()))
}

async fn failed(
    State(mailbox): State<Mailbox>,
    Checked(Query(whose)): Checked<Query<Whose>>,
    Checked(Query(page)): Checked<Query<Page>>,
) -> Json<Vec<FailedTry>> {
    Json(mailbox.failed_tries(&whose, page.limit()))
}

async fn count(
    State(mailbox): State<Mailbox>,
    Checked(Query(whose)): Checked<Query<Whose>>,
) -> Json<Tally> {
    Json(mailbox.tally(&whose))
}
