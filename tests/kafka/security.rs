//! TLS and SASL against a broker that wants both, and what is said to whom it turns away.

use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tidings::error::chain;
use tidings::publisher::Publisher;
use tidings::transport::Transport;
use tidings::transport::kafka::config::{SaslMechanism, SecurityProtocol};
use tidings::transport::kafka::{Kafka, KafkaConfig};

use crate::broker::OwnBroker;
use crate::child::{Subject, new_log};
use crate::events::*;
use crate::stage::*;
use crate::support::*;

event!(Sealed, "security.sealed");

/// One for all tests that run at the same time; it ends with the last of them.
async fn broker() -> Option<Arc<OwnBroker>> {
    static SHARED: tokio::sync::Mutex<Weak<OwnBroker>> = tokio::sync::Mutex::const_new(Weak::new());
    let mut shared = SHARED.lock().await;
    if let Some(broker) = shared.upgrade() {
        return Some(broker);
    }
    let broker = Arc::new(OwnBroker::start_secured().await?);
    *shared = Arc::downgrade(&broker);
    Some(broker)
}

fn hasty(brokers: &str) -> KafkaConfig {
    let soon = Duration::from_secs(4);
    config("sealed", brokers).message_timeout(soon).delivery_wait(2 * soon)
}

fn sealed(broker: &OwnBroker) -> KafkaConfig {
    hasty(&broker.address)
        .security_protocol(SecurityProtocol::SaslSsl)
        .ssl_ca(broker.secret_path("ca.pem"))
        .sasl_mechanism(SaslMechanism::ScramSha512)
        .sasl_username(broker.secret("user"))
        .sasl_password(broker.secret("password"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_each_mechanism_an_event_reaches_its_handler_through_tls() {
    let Some(broker) = broker().await else { return };
    let plain = sealed(&broker).sasl_mechanism(SaslMechanism::Plain);
    let ca = broker.secret("ca.pem");
    for (n, config) in [
        (0, plain),
        (1, sealed(&broker).sasl_mechanism(SaslMechanism::ScramSha256).ssl_ca(ca)),
        (2, sealed(&broker)),
    ] {
        let kafka = Kafka::connect(config).unwrap();
        let seen = Seen::default();
        let running = consumer(&format!("sealed-{n}"), 1)
            .handle_named("note", note::<Sealed>(seen.clone(), done))
            .start_on(&kafka)
            .await;
        Publisher::new(&kafka).publish(Sealed::new("k", n)).await.unwrap();
        let handled = || seen.all().iter().any(|ran| ran.n == n);
        eventually("it is handled", SOON, handled).await;
        stop(running).await;
    }
}

/// What a client that is turned away says: of a publish, of its readiness, and at a start.
async fn complaints(config: KafkaConfig) -> [String; 3] {
    let kafka = Kafka::connect(config).unwrap();
    let publisher = Publisher::new(&kafka);
    let published = publisher.publish(Sealed::new("k", 0)).await;
    let topics = [topic(Sealed::TOPIC)];
    let described = kafka.admin().describe(&topics, Duration::from_secs(4)).await;
    let ready = publisher.problem();
    [
        chain(&published.expect_err("it is not published")),
        ready.expect("it is not ready"),
        chain(&described.expect_err("nothing is said of topics")),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_for_another_host_is_refused_with_a_word_on_what_to_check() {
    let Some(broker) = broker().await else { return };
    let (_, port) = broker.address.rsplit_once(':').unwrap();
    // The certificate is for 127.0.0.1, which `localhost` is a name of.
    let elsewhere = sealed(&broker).bootstrap_servers(format!("localhost:{port}"));
    for complaint in complaints(elsewhere).await {
        let what = "check ssl.ca, and that the certificate is for the host in bootstrap_servers";
        assert!(complaint.contains(what), "{complaint}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_without_tls_is_told_to_check_its_protocol() {
    let Some(broker) = broker().await else { return };
    for complaint in complaints(hasty(&broker.address)).await {
        assert!(complaint.contains("check security_protocol"), "{complaint}");
    }
}

/// Knocks with what its variables say, and writes down every line of its log.
pub async fn subject(broker: &str, log: PathBuf) {
    let file = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(Arc::new(file))
        .init();
    let config = hasty(broker).with_env().unwrap();
    tracing::info!(?config, "knocking");
    for complaint in complaints(config).await {
        tracing::info!(complaint);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_answered_with_what_to_check_and_stands_in_no_log_line() {
    let Some(broker) = broker().await else { return };
    let wrong = unique("wrong");
    let ca = broker.secret_path("ca.pem");
    let (user, log) = (broker.secret("user"), new_log());
    for mechanism in ["PLAIN", "SCRAM-SHA-512"] {
        let variables = [
            ("KAFKA__SECURITY_PROTOCOL", "SASL_SSL"),
            ("KAFKA__SSL__CA", ca.to_str().unwrap()),
            ("KAFKA__SASL__MECHANISM", mechanism),
            ("KAFKA__SASL__USERNAME", &user),
            ("KAFKA__SASL__PASSWORD", &wrong),
        ];
        let mut subject = Subject::start_with("knock", &broker.address, &log, &variables);
        let mut code = None;
        eventually("it is turned away", SOON, || {
            code = subject.exit_code();
            code.is_some()
        })
        .await;
        let said = std::fs::read_to_string(&log).unwrap();
        assert_eq!(code, Some(0), "{said}");
        let complaints: Vec<_> = said.lines().filter(|line| line.contains("complaint=")).collect();
        assert_eq!(complaints.len(), 3, "{said}");
        for complaint in complaints {
            let what = "check sasl.mechanism, sasl.username and sasl.password";
            assert!(complaint.contains(what), "{complaint}");
        }
        // The client's own words are there, and its configuration: what would say it had its chance.
        assert!(said.contains("SASL authentication error") && said.contains("knocking"), "{said}");
        let loose = said.lines().find(|line| line.contains(&wrong));
        assert_eq!(loose, None, "the password is in the log");
        std::fs::remove_file(&log).unwrap();
    }
}
