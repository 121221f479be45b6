//! From a user to the month's report and a profile: through the workers, and over HTTP.

use axum::http::{Method, StatusCode};
use example_contracts::{Change, ReportEntry};
use example_service::report_service::{self, Profiles};
use serde_json::json;
use tidings::testing::TestKit;
use tidings::transport::memory::MemoryConfig;
use tokio::time::timeout;

use crate::shared::SOON;
use crate::stage::{ask, get, sign_up, users};

/// Waits until the view is as it is to be.
async fn until(profiles: &Profiles, is: impl Fn(&Profiles) -> bool) {
    let mut changes = profiles.changes();
    let waited = async {
        while !is(profiles) {
            changes.next().await.expect("the view goes on");
        }
    };
    timeout(SOON, waited).await.expect("the profiles did not come to be so");
}

#[tokio::test]
async fn who_comes_and_goes_is_in_the_report_and_who_is_there_has_a_profile() {
    let kit = TestKit::new();
    let users = users(&kit).await;
    let transport = kit.connect(MemoryConfig::new(report_service::NAME));
    for worker in report_service::workers(&transport).unwrap() {
        kit.start(worker).await;
    }
    let profiles = report_service::view(&transport).await.unwrap();
    let service = report_service::router(profiles.clone());
    let ada = sign_up(&users, "ada@example.org").await;
    let grace = sign_up(&users, "grace@example.org").await;
    let name = json!({ "full_name": "Ada Byron" });
    let path = format!("/users/{ada}");
    assert!(ask(&users, Method::PATCH, &path, Some(name)).await.0.is_success());
    assert!(ask(&users, Method::DELETE, &format!("/users/{grace}"), None).await.0.is_success());
    kit.settled().await;

    let entries = kit.published::<ReportEntry>();
    let of = |user: &str| {
        let mine = entries.iter().filter(|entry| entry.event.user_id.to_string() == user);
        mine.map(|entry| entry.event.change).collect::<Vec<_>>()
    };
    assert_eq!(
        (of(&ada), of(&grace)),
        (vec![Change::SignedUp], vec![Change::SignedUp, Change::Left])
    );
    let months: Vec<_> = entries.iter().map(|entry| &*entry.event.month).collect();
    assert!(months.iter().all(|month| month.len() == "2026-11".len()), "{months:?}");

    let settled = |profiles: &Profiles| {
        let name = profiles.get(&ada).map(|profile| profile.full_name.clone());
        name.as_deref() == Some("Ada Byron") && profiles.get(&grace).is_none()
    };
    until(&profiles, settled).await;
    let shown = json!({ "user_id": ada, "full_name": "Ada Byron" });
    assert_eq!(get(&service, &format!("/profiles/{ada}")).await, shown);
    assert_eq!(get(&service, "/profiles").await, json!([shown]));
    assert_eq!(get(&service, "/profiles/count").await, json!({ "profiles": 1 }));
    let gone = format!("/profiles/{grace}");
    assert_eq!(ask(&service, Method::GET, &gone, None).await.0, StatusCode::NOT_FOUND);
    let nobody = ask(&service, Method::GET, "/profiles/nobody", None).await;
    assert_eq!(nobody.0, StatusCode::BAD_REQUEST);
}
