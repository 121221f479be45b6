//! The user service over HTTP.

use axum::extract::{Json, Path, Query, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::routing::get;
use axum::{Router, response::IntoResponse};
use serde::{Deserialize, Serialize};
use tidings::mediator::{Context, Request, SendError};
use uuid::Uuid;

use super::Requests;
use super::commands::{CreateUser, DeactivateUser, GetUser, ListUsers, RenameUser, UserError};
use super::domain::User;
use super::store::{StoreError, Users};
use crate::problem::{Checked, FieldError, Problem, nothing_here};

/// The most users on one page.
const PAGE: u32 = 500;

/// The routes.
pub fn router<S: Users>(requests: Requests<S>) -> Router {
    Router::new()
        .route("/users", get(list::<S>).post(create::<S>))
        .route("/users/{id}", get(read::<S>).patch(rename::<S>).delete(deactivate::<S>))
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
    email: Option<String>,
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

async fn create<S: Users>(
    State(requests): State<Requests<S>>,
    Checked(Json(NewUser { email, full_name })): Checked<Json<NewUser>>,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<UserView>), Problem> {
    let user = UserView::from(requests.commands.send(CreateUser { email, full_name }).await?);
    let location = format!("/users/{}", user.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(user)))
}

async fn rename<S: Users>(
    State(requests): State<Requests<S>>,
    Checked(Path(user_id)): Checked<Path<Uuid>>,
    Checked(Json(NewName { full_name })): Checked<Json<NewName>>,
) -> Result<Json<UserView>, Problem> {
    let user = requests.commands.send(RenameUser { user_id, full_name }).await?;
    Ok(Json(user.into()))
}

async fn deactivate<S: Users>(
    State(requests): State<Requests<S>>,
    Checked(Path(user_id)): Checked<Path<Uuid>>,
) -> Result<impl IntoResponse, Problem> {
    // The same with a transaction of one's own: whatever else is written in it is committed with the
    // command and its events.
    let mut cx = Context::new();
    cx.insert(requests.users.writer().await.map_err(|error| Problem::internal(&error))?);
    requests.commands.send_in(DeactivateUser { user_id }, &mut cx).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn read<S: Users>(
    State(requests): State<Requests<S>>,
    Checked(Path(user_id)): Checked<Path<Uuid>>,
) -> Result<Json<UserView>, Problem> {
    Ok(Json(requests.queries.send(GetUser { user_id }).await?.into()))
}

async fn list<S: Users>(
    State(requests): State<Requests<S>>,
    Checked(Query(Page { after, email, limit })): Checked<Query<Page>>,
) -> Result<Json<Vec<UserView>>, Problem> {
    let limit = limit.unwrap_or(50).clamp(1, PAGE);
    let users = requests.queries.send(ListUsers { after, email, limit }).await?;
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
            SendError::NotCommitted(_) => {
                let cause = tidings::error::chain(&error);
                tracing::error!(error = cause, "a command was not committed");
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "the database did not say that this is stored; look whether it is before you \
                     send it again",
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
            UserError::Store(_) | UserError::NoTransaction(_) => return Self::internal(&error),
        };
        Self::new(status, error.to_string())
    }
}
