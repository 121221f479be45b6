use serde::{Deserialize, Serialize};
use tidings::{IntegrationEvent, Topic};

#[derive(Topic)]
#[topic(name = "users")]
struct WithoutKind;

#[derive(Topic)]
#[topic(kind = event)]
struct WithoutName;

#[derive(Topic)]
#[topic(kind = table, name = "users")]
struct UnknownKind;

#[derive(Topic)]
#[topic(kind = event, name = "users", partitions = 0)]
struct NoPartitions;

#[derive(Topic)]
#[topic(kind = event, name = "users", replication = some)]
struct SomeCopies;

#[derive(Topic)]
#[topic(kind = state, name = "users", retention = "7d")]
struct StateWithRetention;

#[derive(Topic)]
#[topic(kind = event, name = "users", compression = zip)]
struct UnknownCompression;

#[derive(Topic)]
#[topic(kind = event, name = "users", partition = 3)]
struct UnknownAttribute;

#[derive(Topic)]
#[topic(kind = event, name = "users", carries(UserCreated))]
struct Users;

#[derive(Serialize, Deserialize, IntegrationEvent)]
#[event(unkeyed, topic = Users, topic_with = pick, topics = ["a", "b"])]
struct TwoTopics;

#[derive(Serialize, Deserialize, IntegrationEvent)]
#[event(unkeyed, topic = Users)]
struct UserCreated;

fn main() {}
