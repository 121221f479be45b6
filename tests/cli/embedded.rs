//! The same commands in a binary of one's own, which then know its topics.

use std::process::ExitCode;

use tidings::Topic;
use tidings::cli::{App, run_from};
use tidings::topic::{Profile, Replication, TopicKind, TopicSpec};

use crate::run::*;
use crate::support::unique;

#[derive(Topic)]
#[topic(kind = event, name = "cli-embedded-users", partitions = 6, replication = auto)]
struct Users;

fn run(app: &App, cluster: &Cluster, arguments: &[&str]) -> ExitCode {
    let all = [&["users", "--brokers", &cluster.0, "--timeout", "30s"], arguments].concat();
    run_from(app.clone(), all)
}

#[test]
fn a_binary_of_ones_own_checks_and_makes_the_topics_that_it_declares() {
    let Some(cluster) = Cluster::get() else { return };
    let name = unique("cli");
    let spec = TopicSpec::new(name.parse().unwrap(), TopicKind::State)
        .partitions(5)
        .replication(Replication::Auto);
    let mut gold = Profile::standard();
    gold.name = "gold".into();
    gold.settings.replication = Some(Replication::Auto);
    let app = App::new("users").topics([spec.clone()]).profile(gold);
    assert_eq!(run(&app, &cluster, &["check"]), ExitCode::from(1), "it is not there");
    assert_eq!(run(&app, &cluster, &["create-topic", &name]), ExitCode::SUCCESS);
    let shown = cluster.run(&["topic", "show", &name, "-o", "json"]).json();
    assert_eq!(shown["partitions"].as_array().unwrap().len(), 5);
    assert_eq!(shown["configuration"]["cleanup.policy"]["value"], "compact");
    // As it is declared now, and not as a service declares it that wants more.
    let more = App::new("users").topics([spec.partitions(6)]);
    assert_eq!(run(&more, &cluster, &["check"]), ExitCode::from(1), "it has fewer partitions");
    let other = unique("cli");
    assert_eq!(
        run(&app, &cluster, &["create-topic", &other, "--profile", "gold"]),
        ExitCode::SUCCESS
    );
    assert_eq!(run(&app, &cluster, &["no-such-command"]), ExitCode::from(2));
}

#[test]
fn a_topic_that_is_a_type_is_made_as_it_is_declared() {
    let Some(cluster) = Cluster::get() else { return };
    let app = App::new("users").topic::<Users>();
    let made = run(&app, &cluster, &["create-topic", "cli-embedded-users"]);
    assert_eq!(made, ExitCode::SUCCESS);
    let shown = cluster.run(&["topic", "show", "cli-embedded-users", "-o", "json"]).json();
    assert_eq!(shown["partitions"].as_array().unwrap().len(), 6);
}
