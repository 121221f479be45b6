//! The report service over HTTP: the profiles of those who are there.

use axum::Router;
use axum::extract::{Json, Path, Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use example_contracts::Profile;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Profiles;
use crate::problem::{Checked, Problem, nothing_here};

/// The most profiles on one page.
const PAGE: usize = 500;

/// The routes.
pub fn router(profiles: Profiles) -> Router {
    Router::new()
        .route("/profiles", get(list))
        .route("/profiles/count", get(count))
        .route("/profiles/{user_id}", get(read))
        .fallback(nothing_here)
        .with_state(profiles)
}

#[derive(Deserialize)]
struct Page {
    limit: Option<usize>,
}

/// A profile as others see it.
#[derive(Debug, Serialize)]
struct ProfileView {
    user_id: String,
    #[serde(flatten)]
    profile: Profile,
}

impl ProfileView {
    fn new(user_id: String, profile: &Profile) -> Self {
        Self { user_id, profile: profile.clone() }
    }
}

#[derive(Debug, Serialize)]
struct Count {
    profiles: usize,
}

async fn list(
    State(profiles): State<Profiles>,
    Checked(Query(page)): Checked<Query<Page>>,
) -> Json<Vec<ProfileView>> {
    let most = page.limit.unwrap_or(100).min(PAGE);
    let all = profiles.snapshot().into_iter().take(most);
    Json(all.map(|(key, profile)| ProfileView::new(key.to_string(), &profile)).collect())
}

async fn count(State(profiles): State<Profiles>) -> Json<Count> {
    Json(Count { profiles: profiles.len() })
}

async fn read(
    State(profiles): State<Profiles>,
    Checked(Path(user_id)): Checked<Path<Uuid>>,
) -> Result<Json<ProfileView>, Problem> {
    let user_id = user_id.to_string();
    match profiles.get(&user_id) {
        Some(profile) => Ok(Json(ProfileView::new(user_id, &profile))),
        None => Err(Problem::new(StatusCode::NOT_FOUND, format!("there is no user {user_id}"))),
    }
}
