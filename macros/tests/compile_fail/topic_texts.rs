use tidings::Topic;

#[derive(Topic)]
#[topic(kind = event, name = "user events")]
struct BadName;

#[derive(Topic)]
#[topic(kind = event, name = "users", retention = "7 days")]
struct BadRetention;

fn main() {}
