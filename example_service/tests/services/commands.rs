//! What commands publish: given a user, when one is sent, then others are told.

use example_contracts::{UserCreated, UserDeactivated, UserRenamed};
use example_service::user_service::commands::{CreateUser, DeactivateUser, RenameUser, UserError};
use example_service::user_service::{Requests, StoreError};
use tidings::store::sqlite::SqliteStore;
use tidings::testing::TestKit;
use uuid::Uuid;

use crate::stage::requests;

fn sign_up(email: &str) -> CreateUser {
    CreateUser { email: email.into(), full_name: "Ada Byron".into() }
}

/// Ada has signed up.
async fn given_ada() -> (TestKit, Requests<SqliteStore>, Uuid) {
    let kit = TestKit::new();
    let requests = requests(&kit).await;
    let ada = requests.commands.send(sign_up("Ada@Example.org")).await.unwrap();
    (kit, requests, ada.state().id)
}

#[tokio::test]
async fn who_signs_up_is_announced_with_the_address_in_lower_case() {
    let (kit, _, user_id) = given_ada().await;
    kit.settled().await;
    kit.expect::<UserCreated>().published_exactly([UserCreated {
        user_id,
        email: "ada@example.org".into(),
        full_name: "Ada Byron".into(),
    }]);
}

#[tokio::test]
async fn an_address_that_is_taken_is_refused_and_nobody_is_told() {
    let (kit, requests, _) = given_ada().await;
    let taken = |error: &UserError| matches!(error, UserError::Store(StoreError::EmailTaken));
    let refused = requests.commands.send(sign_up("ada@example.org")).await.unwrap_err();
    assert!(refused.handler_error().is_some_and(taken), "{refused:?}");
    let refused = requests.commands.send(sign_up("nobody")).await.unwrap_err();
    assert!(refused.is_invalid(), "{refused:?}");
    kit.settled().await;
    kit.expect::<UserCreated>().published(1);
}

#[tokio::test]
async fn a_new_name_is_announced_and_the_same_name_is_not() {
    let (kit, requests, user_id) = given_ada().await;
    for _ in 0..2 {
        let rename = RenameUser { user_id, full_name: "Ada Lovelace".into() };
        requests.commands.send(rename).await.unwrap();
    }
    kit.settled().await;
    let renamed = UserRenamed { user_id, full_name: "Ada Lovelace".into() };
    kit.expect::<UserRenamed>().published_exactly([renamed]);
}

#[tokio::test]
async fn who_leaves_is_announced_once() {
    let (kit, requests, user_id) = given_ada().await;
    for _ in 0..2 {
        requests.commands.send(DeactivateUser { user_id }).await.unwrap();
    }
    kit.settled().await;
    kit.expect::<UserDeactivated>().published_exactly([UserDeactivated {
        user_id,
        email: "ada@example.org".into(),
        full_name: "Ada Byron".into(),
    }]);
}
