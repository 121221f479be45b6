//! What others are told of what happens to a user.

use chrono::Utc;
use example_contracts::{UserCreated, UserDeactivated, UserRenamed};
use example_service::user_service::domain::{
    Email, FullName, FullNameChanged, LastSeenChanged, UserLeft, UserRegistered,
};
use example_service::user_service::event_mapper;
use tidings::testing::Scenario;
use uuid::Uuid;

#[test]
fn others_are_told_who_comes_who_is_renamed_and_who_goes_and_nothing_else() {
    let mapping = Scenario::mapping(event_mapper().unwrap());
    let user_id = Uuid::now_v7();
    let email = Email::new("ada@example.org").unwrap();
    let full_name = FullName::new("Ada").unwrap();
    let (address, name) = ("ada@example.org".to_owned(), "Ada".to_owned());
    mapping
        .when_raised(UserRegistered { user_id, email: email.clone(), full_name: full_name.clone() })
        .then_published(UserCreated { user_id, email: address.clone(), full_name: name.clone() });
    mapping
        .when_raised(FullNameChanged { user_id, full_name: full_name.clone() })
        .then_published(UserRenamed { user_id, full_name: name.clone() });
    mapping.when_raised(UserLeft { user_id, email, full_name }).then_published(UserDeactivated {
        user_id,
        email: address,
        full_name: name,
    });
    mapping.when_raised(LastSeenChanged { user_id, at: Utc::now() }).then_published(());
}
