use serde::{Deserialize, Serialize};
use tidings::IntegrationEvent;

#[derive(Serialize, Deserialize, IntegrationEvent)]
#[event(unkeyed, topic_with = pick)]
struct WithoutTopics;

#[derive(Serialize, Deserialize, IntegrationEvent)]
#[event(unkeyed, topics = ["a", "b"])]
struct WithoutPick;

#[derive(Serialize, Deserialize, IntegrationEvent)]
#[event(unkeyed, topic = "a", topic_with = pick, topics = ["a", "b"])]
struct Both;

#[derive(Serialize, Deserialize, IntegrationEvent)]
#[event(unkeyed, topic = orders)]
struct WithoutQuotes;

#[derive(Serialize, Deserialize, IntegrationEvent)]
#[event(unkeyed, name = "")]
struct WithoutName;

fn main() {}
