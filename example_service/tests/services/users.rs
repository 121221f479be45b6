//! The user service's HTTP API.

use reqwest::{Method, StatusCode};
use serde_json::json;
use tidings::transport::kafka::EmbeddedBroker;

use crate::support::{Running, settings};

const UNKNOWN: &str = "/users/01a1fc72-b2a2-723f-bb79-eb4622fd9101";

async fn service() -> Running {
    Running::users(&settings(&[]), &EmbeddedBroker::start().unwrap()).await
}

#[tokio::test]
async fn a_user_is_created_renamed_deactivated_and_read() {
    let users = service().await;
    let ada = json!({ "email": "Ada@example.org", "full_name": "Ada Byron" });
    let (status, user) = users.ask(Method::POST, "/users", Some(ada)).await;
    assert_eq!(status, StatusCode::CREATED);
    assert_eq!((&user["email"], &user["active"]), (&json!("ada@example.org"), &json!(true)));

    let path = format!("/users/{}", user["id"].as_str().unwrap());
    let name = json!({ "full_name": "Ada Lovelace" });
    let (status, user) = users.ask(Method::PATCH, &path, Some(name.clone())).await;
    assert_eq!((status, &user["full_name"]), (StatusCode::OK, &name["full_name"]));

    let (status, _) = users.ask(Method::DELETE, &path, None).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(users.get(&path).await["active"], json!(false));
    assert_eq!(users.get("/users").await.as_array().unwrap().len(), 1);

    let (status, problem) =
        users.ask(Method::PATCH, &path, Some(json!({ "full_name": "X" }))).await;
    assert_eq!(
        (status, &problem["detail"]),
        (StatusCode::CONFLICT, &json!("the user is deactivated"))
    );
}

#[tokio::test]
async fn an_invalid_user_is_refused_with_every_field_named() {
    let users = service().await;
    let nobody = json!({ "email": "nobody", "full_name": " " });
    let (status, problem) = users.ask(Method::POST, "/users", Some(nobody)).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let fields: Vec<_> =
        problem["errors"].as_array().unwrap().iter().map(|error| &error["field"]).collect();
    assert_eq!(fields, ["email", "full_name"]);
    assert_eq!(users.get("/users").await, json!([]));
}

#[tokio::test]
async fn what_cannot_be_done_is_said_as_a_problem() {
    let users = service().await;
    let ada = || Some(json!({ "email": "ada@example.org", "full_name": "Ada" }));
    assert_eq!(users.ask(Method::POST, "/users", ada()).await.0, StatusCode::CREATED);
    assert_eq!(users.ask(Method::POST, "/users", ada()).await.0, StatusCode::CONFLICT);
    let half = Some(json!({ "email": "ada@example.org" }));
    assert_eq!(users.ask(Method::POST, "/users", half).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(users.ask(Method::GET, UNKNOWN, None).await.0, StatusCode::NOT_FOUND);
    assert_eq!(users.ask(Method::DELETE, UNKNOWN, None).await.0, StatusCode::NOT_FOUND);
    assert_eq!(users.ask(Method::GET, "/users/7", None).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(users.ask(Method::GET, "/nothing", None).await.0, StatusCode::NOT_FOUND);
    assert_eq!(users.ask(Method::GET, "/users?limit=many", None).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_user_is_stored_and_the_caller_told_when_the_broker_does_not_take_the_event() {
    let broker = EmbeddedBroker::start().unwrap();
    let impatient = settings(&[
        ("KAFKA__PRODUCER__REQUEST_TIMEOUT", "500ms"),
        ("KAFKA__PRODUCER__MESSAGE_TIMEOUT", "1s"),
        ("KAFKA__PRODUCER__DELIVERY_WAIT", "1s"),
    ]);
    let users = Running::users(&impatient, &broker).await;
    broker.go_away().unwrap();
    let ada = json!({ "email": "ada@example.org", "full_name": "Ada" });
    let (status, problem) = users.ask(Method::POST, "/users", Some(ada)).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(problem["detail"].as_str().unwrap().contains("do not send it again"), "{problem}");
    assert_eq!(users.get("/users").await[0]["email"], json!("ada@example.org"));
}
