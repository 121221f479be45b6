//! A state topic of the tests, and how any record gets onto it.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use serde::{Deserialize, Serialize};
use tidings::Topic;
use tidings::event::{Headers, TopicName};
use tidings::state::StateView;
use tidings::topic::{Profile, TopicSettings};
use tidings::transport::{Delivered, Receipt, Record, Transport};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserProfile {
    pub name: String,
    pub n: u32,
}

#[derive(Topic)]
#[topic(kind = state, name = "profiles", carries(UserProfile), profile = any, partitions = 3)]
pub struct Profiles;

fn any() -> Profile {
    Profile::new("any", TopicSettings::default())
}

pub fn profile(name: &str, n: u32) -> UserProfile {
    UserProfile { name: name.into(), n }
}

/// A value as it lies on the topic.
pub fn json(name: &str, n: u32) -> Option<Vec<u8>> {
    Some(format!(r#"{{"name":"{name}","n":{n}}}"#).into_bytes())
}

/// Sends a record as any producer may, and waits for the acknowledgement.
pub async fn send(
    transport: &dyn Transport,
    topic: &TopicName,
    partition: Option<i32>,
    key: Option<&str>,
    payload: Option<Vec<u8>>,
) -> Delivered {
    send_with(transport, topic, partition, key, payload, Headers::default()).await
}

pub async fn send_with(
    transport: &dyn Transport,
    topic: &TopicName,
    partition: Option<i32>,
    key: Option<&str>,
    payload: Option<Vec<u8>>,
    headers: Headers,
) -> Delivered {
    let record = Record {
        topic: topic.clone(),
        partition,
        key: key.map(|key| key.to_owned().into()),
        payload: payload.map(Into::into),
        headers,
        timestamp: None,
    };
    let (receipt, answer) = Receipt::one(None, Default::default());
    transport.producer().enqueue(&record, receipt).expect("there is room");
    answer.await.unwrap().unwrap()
}

/// What a view holds, by key.
pub fn held<T>(view: &StateView<T, UserProfile>) -> Vec<(String, u32)> {
    view.snapshot().into_iter().map(|(key, value)| (key.to_string(), value.n)).collect()
}
