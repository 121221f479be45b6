//! The user service over HTTP.

use axum::extract::{Json, Path, Query, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::routing::get;
use axum::{Router, response::IntoResponse};
use serde::{Deserialize, Serialize};
use tidings::mediator::{Mediator, Publishing, Request, SendError};
use tidings::publisher::Publisher;
use uuid::Uuid;

use super::commands::{CreateUser, DeactivateUser, GetUser, ListUsers, RenameUser, UserError};
use super::domain::User;
use super::store::StoreError;
use crate::problem::{Checked, FieldError, Problem, nothing_here};

/// What requests go through.
pub type Requests = Publishing<Mediator, Publisher>;

/// The most users on one page.
const PAGE: u32 = 500;

/// The routes.
pub fn router(requests: Requests) -> Router {
    Router::new()
        .route("/users", get(list).post(create))
        .route("/users/{id}", get(read).patch(rename).delete(deactivate))
        .fallback(nothing_here)
        .with_state(requests)
}

#[derive(Deserialize)]
struct NewUser {
    email: String,
    full_name: String,
}

#[derive(Deserialize)]
struct NewName {
    full_name: String,
}

#[derive(Deserialize)]
struct Page {
    after: Option<Uuid>,
    limit: Option<u32>,
}

/// A user as others see it.
#[derive(Debug, Serialize)]
struct UserView {
    id: Uuid,
    email: String,
    full_name: String,
    active: bool,
    created_at: chrono::DateTime<chrono::Utc>,
    last_seen_at: chrono::DateTime<chrono::Utc>,
}

impl From<User> for UserView {
    fn from(user: User) -> Self {
        let user = user.state();
        Self {
            id: user.id,
            email: user.email.as_str().into(),
            full_name: user.full_name.as_str().into(),
            active: user.active,
            created_at: user.created_at,
            last_seen_at: user.last_seen_at,
        }
    }
}

async fn create(
    State(requests): State<Requests>,
    Checked(Json(NewUser { email, full_name })): Checked<Json<NewUser>>,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<UserView>), Problem> {
    let user = UserView::from(requests.send(CreateUser { email, full_name }).await?);
    let location = format!("/users/{}", user.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(user)))
}

async fn rename(
    State(requests): State<Requests>,
    Checked(Path(user_id)): Checked<Path<Uuid>>,
    Checked(Json(NewName { full_name })): Checked<Json<NewName>>,
) -> Result<Json<UserView>, Problem> {
    let user = requests.send(RenameUser { user_id, full_name }).await?;
    Ok(Json(user.into()))
}

async fn deactivate(
    State(requests): State<Requests>,
    Checked(Path(user_id)): Checked<Path<Uuid>>,
) -> Result<impl IntoResponse, Problem> {
    requests.send(DeactivateUser { user_id }).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn read(
    State(requests): State<Requests>,
    Checked(Path(user_id)): Checked<Path<Uuid>>,
) -> Result<Json<UserView>, Problem> {
    Ok(Json(requests.send(GetUser { user_id }).await?.into()))
}

async fn list(
    State(requests): State<Requests>,
    Checked(Query(Page { after, limit })): Checked<Query<Page>>,
) -> Result<Json<Vec<UserView>>, Problem> {
    let limit = limit.unwrap_or(50).clamp(1, PAGE);
    let users = requests.send(ListUsers { after, limit }).await?;
    Ok(Json(users.into_iter().map(UserView::from).collect()))
}

impl<R: Request<Error = UserError>> From<SendError<R>> for Problem {
    fn from(error: SendError<R>) -> Self {
        match error {
            SendError::Handler(error) => error.into(),
            SendError::Invalid(errors) => {
                let fields = errors.violations().iter().map(|violation| FieldError {
                    field: violation.field.to_string(),
                    message: violation.message.to_string(),
                });
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, errors.to_string()).with_errors(fields)
            }
            SendError::TimedOut { .. } => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
            }
            // Asking again would do it twice, so the answer says that it was done.
            SendError::Unpublished(ref failure) => {
                let ids: Vec<_> =
                    failure.events.iter().map(|event| event.metadata.id.to_string()).collect();
                let cause = tidings::error::chain(&error);
                tracing::error!(error = cause, events = ids.join(" "), "events were not published");
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "this was done and is stored, so do not send it again; but the broker did not \
                     take the events that tell other services, and they do not know of it yet",
                )
            }
            other => Self::internal(&other),
        }
    }
}

impl From<UserError> for Problem {
    fn from(error: UserError) -> Self {
        let status = match &error {
            UserError::NotFound(_) => StatusCode::NOT_FOUND,
            UserError::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            UserError::Deactivated(_)
            | UserError::Store(StoreError::EmailTaken | StoreError::Conflict) => {
                StatusCode::CONFLICT
            }
            UserError::Store(_) => return Self::internal(&error),
        };
        Self::new(status, error.to_string())
    }
}
