//! The user service's HTTP API.

use std::time::Duration;

use axum::Router;
use axum::http::{Method, StatusCode};
use example_contracts::{UserCreated, UserDeactivated, UserRenamed};
use example_service::user_service;
use serde_json::json;
use tidings::testing::TestKit;
use tidings::transport::memory::Fault;

use crate::stage::{ask, get, requests, users};

const UNKNOWN: &str = "/users/01a1fc72-b2a2-723f-bb79-eb4622fd9101";

async fn service() -> (TestKit, Router) {
    let kit = TestKit::new();
    let users = users(&kit).await;
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
    let listed = get(&users, "/users?email=ADA@example.org").await;
    assert_eq!(listed[0]["id"], user["id"]);
    assert_eq!(get(&users, "/users?email=grace@example.org").await, json!([]));
    kit.settled().await;
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
    kit.settled().await;
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
        (Method::GET, "/users?email=nobody", None, StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        assert_eq!(ask(&users, method.clone(), path, body).await.0, status, "{method} {path}");
    }
}

#[tokio::test]
async fn a_broker_that_is_away_stops_nobody_from_signing_up_and_hears_of_it_when_it_is_back() {
    let (kit, users) = service().await;
    kit.broker().inject(Fault::BrokerGone(Duration::from_millis(300)));
    let ada = json!({ "email": "ada@example.org", "full_name": "Ada" });
    let (status, _) = ask(&users, Method::POST, "/users", Some(ada)).await;
    assert_eq!(status, StatusCode::CREATED);
    kit.settled().await;
    kit.expect::<UserCreated>().published(1);
}

#[tokio::test]
async fn a_user_whose_event_cannot_be_stored_is_not_stored_either() {
    let kit = TestKit::new();
    let requests = requests(&kit).await;
    let gone = "DROP TABLE user_service_outbox";
    sqlx::query(gone).execute(requests.users.pool()).await.unwrap();
    let users = user_service::router(requests);
    let ada = json!({ "email": "ada@example.org", "full_name": "Ada" });
    let (status, problem) = ask(&users, Method::POST, "/users", Some(ada)).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("look whether it is"), "{problem}");
    assert_eq!(get(&users, "/users").await, json!([]));
}
