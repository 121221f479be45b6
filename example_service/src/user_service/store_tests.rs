//! Users are stored and read, in SQLite. In PostgreSQL the demo does.

use tidings::store::Transactions;

use super::*;
use crate::database::Place;

async fn database() -> SqliteStore {
    SqliteStore::connect("sqlite::memory:", &SCHEMA).await.unwrap()
}

fn user(email: &str) -> User {
    User::register(Email::new(email).unwrap(), FullName::new("Ada").unwrap(), Utc::now())
}

async fn add(users: &SqliteStore, user: &User) -> Result<(), StoreError> {
    let mut transaction = users.writer().await?;
    users.add(&mut transaction, user).await?;
    Transactions::commit(users, transaction).await.unwrap();
    Ok(())
}

#[tokio::test]
async fn a_user_is_read_as_it_was_stored() {
    let users = database().await;
    let ada = user("ada@example.org");
    add(&users, &ada).await.unwrap();
    let mut connection = users.reader().await.unwrap();
    let found = users.find(&mut connection, ada.state().id).await.unwrap().unwrap();
    assert_eq!(found.state(), ada.state());
    for (after, email, count) in [
        (None, None, 1),
        (Some(ada.state().id), None, 0),
        (None, Some("ada@example.org"), 1),
        (None, Some("grace@example.org"), 0),
    ] {
        let email = email.map(|email| Email::new(email).unwrap());
        let listed = users.list(&mut connection, after, email.as_ref(), 10).await.unwrap();
        assert_eq!(listed.len(), count, "{after:?} {email:?}");
    }
}

#[tokio::test]
async fn an_address_belongs_to_one_user() {
    let users = database().await;
    add(&users, &user("ada@example.org")).await.unwrap();
    let again = add(&users, &user("ADA@example.org")).await;
    assert!(matches!(again, Err(StoreError::EmailTaken)), "{again:?}");
}

#[tokio::test]
async fn the_second_of_two_writers_is_told() {
    let users = database().await;
    let ada = user("ada@example.org");
    add(&users, &ada).await.unwrap();
    let mut transaction = users.writer().await.unwrap();
    let id = ada.state().id;
    let mut one = users.find(&mut transaction, id).await.unwrap().unwrap();
    let mut other = users.find(&mut transaction, id).await.unwrap().unwrap();
    one.deactivate();
    other.rename(FullName::new("Ada Lovelace").unwrap(), Utc::now()).unwrap();
    users.save(&mut transaction, &one).await.unwrap();
    let told = users.save(&mut transaction, &other).await;
    assert!(matches!(told, Err(StoreError::Conflict)), "{told:?}");
}

#[tokio::test]
async fn a_file_is_opened_again_with_what_it_held() {
    let place = Place::of(None).unwrap();
    let ada = user("ada@example.org");
    let users = SqliteStore::connect(place.url(), &SCHEMA).await.unwrap();
    add(&users, &ada).await.unwrap();
    users.pool().close().await;
    let users = SqliteStore::connect(place.url(), &SCHEMA).await.unwrap();
    let mut connection = users.reader().await.unwrap();
    assert!(users.find(&mut connection, ada.state().id).await.unwrap().is_some());
}
