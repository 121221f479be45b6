//! The services as they are, on a test kit instead of Kafka, asked without a socket.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode, header};
use example_service::email_service::{self, Mailbox, PostOffice};
use example_service::settings::Settings;
use example_service::user_service::{self, Users};
use serde_json::Value;
use tidings::publisher::Publisher;
use tidings::testing::{TestKit, hold_time};
use tower::ServiceExt;

/// An empty database in memory. Its thread works while the test's clock is held.
pub(crate) async fn database() -> Users {
    hold_time(Users::open("sqlite::memory:")).await.unwrap()
}

/// The user service's routes.
pub(crate) async fn users(publisher: Publisher) -> Router {
    user_service::router(user_service::requests(database().await, publisher).unwrap())
}

/// The email service, with these settings; answers its mailbox.
pub(crate) async fn mails(kit: &TestKit, vars: &[(&str, &str)]) -> Mailbox {
    let vars = vars.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    let post = PostOffice::open(&Settings::from_vars(vars).unwrap()).unwrap();
    let mailbox = post.mailbox.clone();
    let transport = kit.transport(email_service::NAME);
    kit.start(email_service::consumer(post, &transport).unwrap()).await;
    mailbox
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
    let answer = service.clone().oneshot(request.body(body).unwrap());
    let answer = hold_time(answer).await.unwrap();
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
