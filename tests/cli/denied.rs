//! What a client is told that may not do what it is asked for.

use crate::broker::OwnBroker;
use crate::run::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_denied_is_told_in_one_line_and_nothing_is_half_done() {
    let Some(broker) = OwnBroker::start(&[
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found=true",
    ])
    .await
    else {
        return;
    };
    let cluster = Cluster(broker.address.clone());
    let rule = |resource: [&'static str; 2], who: &'static str, operation: &'static str| {
        let broker = &broker;
        async move {
            let [kind, name] = resource;
            let what = ["AclCommand", "--bootstrap-server", &broker.address, "--add", kind, name];
            let rule = [who, "User:ANONYMOUS", "--operation", operation, "--force"];
            broker.tool(&[&what[..], &rule].concat()).await;
        }
    };
    let deny = "--deny-principal";
    for topic in ["hidden", "read-only", "open"] {
        cluster.run(&["create-topic", topic, "--partitions", "1", "--replication", "auto"]).ok();
    }
    rule(["--topic", "hidden"], deny, "All").await;
    // Where there is a rule, what no rule allows is denied.
    rule(["--topic", "read-only"], "--allow-principal", "All").await;
    rule(["--topic", "read-only"], deny, "Write").await;
    rule(["--topic", "forbidden"], deny, "Create").await;
    rule(["--group", "strangers"], deny, "All").await;

    for arguments in [&["topic", "show", "hidden"][..], &["consume", "hidden", "--to-end"]] {
        let error = cluster.run(arguments).fails(3);
        assert!(error.contains("no topic hidden") && error.contains("may not see"), "{error}");
    }
    let lines = file("1\n2\n");
    let error = cluster.run(&["produce", "read-only", "--file", lines.to_str().unwrap()]).fails(1);
    assert!(error.contains("line 1 was not acknowledged"), "{error}");
    assert!(error.contains("lines acknowledged: 0"), "{error}");
    std::fs::remove_file(lines).unwrap();
    let create = ["create-topic", "forbidden", "--partitions", "1", "--replication", "auto"];
    let error = cluster.run(&create).fails(1);
    assert!(error.contains("forbidden"), "{error}");
    let topics = cluster.run(&["topics"]).ok();
    assert!(topics.contains("open") && !topics.contains("forbidden"), "{topics}");
    let error = cluster.run(&["consume", "open", "--group", "strangers"]).fails(1);
    assert!(error.contains("strangers"), "{error}");
}
