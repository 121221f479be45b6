//! The user service's HTTP API.

use std::time::Duration;

use axum::Router;
use axum::http::{Method, StatusCode};
use example_contracts::{UserCreated, UserDeactivated, UserRenamed};
use example_service::user_service::NAME;
use serde_json::json;
use tidings::publisher::Publisher;
use tidings::testing::TestKit;
use tidings::transport::memory::{Fault, MemoryConfig};

use crate::stage::{ask, get, users};

const UNKNOWN: &str = "/users/01a1fc72-b2a2-723f-bb79-eb4622fd9101";

async fn service() -> (TestKit, Router) {
    let kit = TestKit::new();
    let users = users(kit.publisher(NAME)).await;
    (kit, users)
}

#[tokio::test]
async fn a_user_is_created_renamed_deactivated_and_read() {
    let (kit, users) = service().await;
    let ada = json!({ "email": "Ada@example.org", "full_name": "Ada Byron" });
    let (status, user) = ask(&users, Method::POST, "/users", Some(ada)).await;
    assert_eq!(status, StatusCode::CREATED);
    assert_eq!((&user["email"], &user["active"]), (&json!("ada@example.org"), &json!(true)));

    let path = format!("/users/{}", user["id"].as_str().unwrap());
    let name = json!({ "full_name": "Ada Lovelace" });
    let (status, user) = ask(&users, Method::PATCH, &path, Some(name.clone())).await;
    assert_eq!((status, &user["full_name"]), (StatusCode::OK, &name["full_name"]));

    let (status, _) = ask(&users, Method::DELETE, &path, None).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(get(&users, &path).await["active"], json!(false));
    assert_eq!(get(&users, "/users").await.as_array().unwrap().len(), 1);

    let (status, problem) =
        ask(&users, Method::PATCH, &path, Some(json!({ "full_name": "X" }))).await;
    assert_eq!(
        (status, &problem["detail"]),
        (StatusCode::CONFLICT, &json!("the user is deactivated"))
    );
    kit.expect::<UserCreated>().matching(|user| user.full_name == "Ada Byron").published(1);
    kit.expect::<UserRenamed>().matching(|user| user.full_name == "Ada Lovelace").published(1);
    kit.expect::<UserDeactivated>().published(1);
}

#[tokio::test]
async fn an_invalid_user_is_refused_with_every_field_named() {
    let (kit, users) = service().await;
    let nobody = json!({ "email": "nobody", "full_name": " " });
    let (status, problem) = ask(&users, Method::POST, "/users", Some(nobody)).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let fields: Vec<_> =
        problem["errors"].as_array().unwrap().iter().map(|error| &error["field"]).collect();
    assert_eq!(fields, ["email", "full_name"]);
    assert_eq!(get(&users, "/users").await, json!([]));
    kit.expect::<UserCreated>().published(0);
}

#[tokio::test]
async fn what_cannot_be_done_is_said_as_a_problem() {
    let (_kit, users) = service().await;
    let ada = || Some(json!({ "email": "ada@example.org", "full_name": "Ada" }));
    let half = Some(json!({ "email": "ada@example.org" }));
    for (method, path, body, status) in [
        (Method::POST, "/users", ada(), StatusCode::CREATED),
        (Method::POST, "/users", ada(), StatusCode::CONFLICT),
        (Method::POST, "/users", half, StatusCode::UNPROCESSABLE_ENTITY),
        (Method::GET, UNKNOWN, None, StatusCode::NOT_FOUND),
        (Method::DELETE, UNKNOWN, None, StatusCode::NOT_FOUND),
        (Method::GET, "/users/7", None, StatusCode::BAD_REQUEST),
        (Method::GET, "/nothing", None, StatusCode::NOT_FOUND),
        (Method::GET, "/users?limit=many", None, StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(ask(&users, method.clone(), path, body).await.0, status, "{method} {path}");
    }
}

/// In real time: the database is asked while the publisher waits.
#[tokio::test]
async fn a_user_is_stored_and_the_caller_told_when_the_broker_does_not_take_the_event() {
    let kit = TestKit::new();
    let impatient = MemoryConfig::new(NAME).delivery_wait(Duration::from_millis(200));
    let users = users(Publisher::new(&kit.connect(impatient))).await;
    kit.broker().inject(Fault::BrokerGone(Duration::from_secs(60)));
    let ada = json!({ "email": "ada@example.org", "full_name": "Ada" });
    let (status, problem) = ask(&users, Method::POST, "/users", Some(ada)).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(problem["detail"].as_str().unwrap().contains("do not send it again"), "{problem}");
    assert_eq!(get(&users, "/users").await[0]["email"], json!("ada@example.org"));
    kit.expect::<UserCreated>().published(0);
}
