//! Drives the users through the user service's HTTP API.

use futures::StreamExt;
use futures::stream;
use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;
use serde_json::json;
use tidings::error::BoxError;
use uuid::Uuid;

use super::people::Person;

/// Users driven at the same time. What happens to one of them happens in order.
const AT_ONCE: usize = 32;

#[derive(Deserialize)]
struct Created {
    id: Uuid,
}

/// Takes everybody through; answers them with their ids.
///
/// # Errors
/// The first request that was not answered as it should be.
pub async fn drive(
    http: &Client,
    service: &str,
    people: Vec<Person>,
) -> Result<Vec<Person>, BoxError> {
    let mut driven =
        stream::iter(people).map(|person| one(http, service, person)).buffer_unordered(AT_ONCE);
    let mut done = Vec::new();
    while let Some(person) = driven.next().await {
        done.push(person?);
    }
    Ok(done)
}

async fn one(http: &Client, service: &str, mut person: Person) -> Result<Person, BoxError> {
    let name = &person.full_name;
    let body = json!({ "email": person.email, "full_name": name });
    let created = http.post(format!("{service}/users")).json(&body).send().await?;
    person.user_id = expect(created, StatusCode::CREATED).await?.json::<Created>().await?.id;
    let user = format!("{service}/users/{}", person.user_id);
    if let Some(name) = person.new_name() {
        let body = json!({ "full_name": name });
        expect(http.patch(&user).json(&body).send().await?, StatusCode::OK).await?;
    }
    if person.deactivated {
        expect(http.delete(&user).send().await?, StatusCode::NO_CONTENT).await?;
    }
    Ok(person)
}

async fn expect(response: Response, status: StatusCode) -> Result<Response, BoxError> {
    if response.status() == status {
        return Ok(response);
    }
    let (is, path) = (response.status(), response.url().path().to_owned());
    Err(format!("{path} answered {is}: {}", response.text().await?).into())
}
