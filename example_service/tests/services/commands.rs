//! What commands publish: given a user, when one is sent, then others are told.

use example_contracts::{UserCreated, UserDeactivated, UserRenamed};
use example_service::user_service::commands::{CreateUser, DeactivateUser, RenameUser, UserError};
use example_service::user_service::{StoreError, requests};
use tidings::mediator::{Mediator, Publishing};
use tidings::testing::Scenario;
use tidings::testing::kit::Recorder;
use uuid::Uuid;

use crate::stage::database;

fn sign_up(email: &str) -> CreateUser {
    CreateUser { email: email.into(), full_name: "Ada Byron".into() }
}

/// Ada has signed up.
async fn given_ada() -> (Scenario<Publishing<Mediator, Recorder>>, Uuid) {
    let mut id = Uuid::nil();
    let scenario = Scenario::given(async |recorder| {
        let requests = requests(database().await, recorder).unwrap();
        id = requests.send(sign_up("ada@example.org")).await.unwrap().state().id;
        requests
    });
    (scenario.await, id)
}

#[tokio::test]
async fn who_signs_up_is_announced_with_the_address_in_lower_case() {
    let (scenario, _) = given_ada().await;
    let sent = scenario.when(sign_up("Grace@Example.org")).await;
    sent.then_published(UserCreated {
        user_id: sent.response().state().id,
        email: "grace@example.org".into(),
        full_name: "Ada Byron".into(),
    });
}

#[tokio::test]
async fn an_address_that_is_taken_is_refused_and_nobody_is_told() {
    let (scenario, _) = given_ada().await;
    let taken = |error: &UserError| matches!(error, UserError::Store(StoreError::EmailTaken));
    scenario
        .when(sign_up("ada@example.org"))
        .await
        .then_failed(|error| error.handler_error().is_some_and(taken));
    scenario.when(sign_up("nobody")).await.then_failed(|error| error.is_invalid());
}

#[tokio::test]
async fn a_new_name_is_announced_and_the_same_name_is_not() {
    let (scenario, user_id) = given_ada().await;
    let rename = || RenameUser { user_id, full_name: "Ada Lovelace".into() };
    let renamed = UserRenamed { user_id, full_name: "Ada Lovelace".into() };
    scenario.when(rename()).await.then_published(renamed);
    scenario.when(rename()).await.then_published(());
}

#[tokio::test]
async fn who_leaves_is_announced_once() {
    let (scenario, user_id) = given_ada().await;
    scenario.when(DeactivateUser { user_id }).await.then_published(UserDeactivated {
        user_id,
        email: "ada@example.org".into(),
        full_name: "Ada Byron".into(),
    });
    scenario.when(DeactivateUser { user_id }).await.then_published(());
}
