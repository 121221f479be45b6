//! A broker that does not let everybody in.

use crate::broker::OwnBroker;
use crate::run::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_told_with_what_to_check_and_not_shown() {
    let Some(broker) = OwnBroker::start_secured().await else { return };
    let ca = broker.secret_path("ca.pem");
    let (user, right) = (broker.secret("user"), broker.secret("password"));
    let run = |password: &str, arguments: &[&str]| {
        let address = ["--brokers", &broker.address, "--timeout", "10s"];
        let mut command = command(&[&address, arguments].concat());
        command.env("KAFKA__SECURITY_PROTOCOL", "SASL_SSL").env("KAFKA__SSL__CA", &ca);
        command.env("KAFKA__SASL__MECHANISM", "PLAIN").env("KAFKA__SASL__USERNAME", user.trim());
        command.env("KAFKA__SASL__PASSWORD", password);
        finish(command)
    };
    for command in ["topics", "groups"] {
        let error = run("hunter2", &[command]).fails(4);
        assert!(error.contains("check sasl.mechanism, sasl.username and sasl.password"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    let ran = run("hunter2", &["check"]);
    assert_eq!(ran.code, 4);
    assert!(ran.out.contains("sasl.password") && !ran.out.contains("hunter2"), "{}", ran.out);
    run(right.trim(), &["topics"]).ok();
    run(right.trim(), &["check"]).ok();
}
